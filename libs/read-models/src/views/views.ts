import { applicationsView } from './applications.view';
import { authenticationView } from './authentication.view';
import { domainsView } from './domains.view';
import { expiryScheduleView } from './expiry-schedule.view';
import { notificationsView } from './notifications.view';
import { secretsView } from './secrets.view';
import type { View } from './view';

/** Every view. A view that is not in this list is not projected. */
export const VIEWS: readonly View[] = [
  authenticationView,
  domainsView,
  applicationsView,
  secretsView,
  expiryScheduleView,
  notificationsView,
] as readonly View[];
