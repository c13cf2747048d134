import ipaddr from 'ipaddr.js';
import { docsPage } from './docs-page';
import { openApiOf } from './openapi';
import { Reads } from './reads';
import { bindRoutes, type Route, type RouteDeclaration } from './route';
import * as applications from './routes/applications';
import * as check from './routes/check';
import * as domains from './routes/domains';
import * as events from './routes/events';
import * as history from './routes/history';
import * as notifications from './routes/notifications';
import * as operations from './routes/operations';
import * as policies from './routes/policies';
import * as projections from './routes/projections';
import * as secretStates from './routes/secret-states';
import * as secrets from './routes/secrets';
import type { GatewayOptions, Services } from './services';
import { Writes } from './writes';

/** Every route of the API, in the order of the documentation. A route that is not in this list is not served. */
const ROUTES: readonly RouteDeclaration<Services>[] = [
  check.authenticate,
  check.forwardAuth,
  domains.createDomain,
  domains.listDomains,
  domains.showDomain,
  domains.updateDomain,
  domains.deleteDomain,
  policies.setDomainPolicy,
  applications.registerApplication,
  applications.listApplications,
  applications.showApplication,
  applications.updateApplication,
  applications.deleteApplication,
  policies.setApplicationPolicy,
  secrets.addSecret,
  secrets.listSecrets,
  secrets.showSecret,
  secrets.updateSecret,
  secrets.renewSecret,
  secretStates.endOverlap,
  secretStates.revokeSecret,
  secretStates.suspendSecret,
  secretStates.resumeSecret,
  secrets.listInventory,
  notifications.listNotifications,
  notifications.acknowledgeNotification,
  notifications.retryNotification,
  history.listHistory,
  history.listApplicationHistory,
  history.verifyChains,
  events.streamEvents,
  projections.listProjections,
  projections.rebuildProjection,
  projections.listFailedEvents,
  projections.replayStream,
  operations.showCommand,
  ...operations.HEALTH_ROUTES,
  operations.showOpenApi,
  operations.showDocs,
];

/** Returns every route of the native API and of operations, bound to the services of a process. */
export const gatewayRoutes = (options: GatewayOptions): Route[] => {
  const { forwardAuthFrom, version } = options;
  return bindRoutes(ROUTES, {
    ...options,
    reads: new Reads(options),
    writes: new Writes(options),
    proxyNetworks: forwardAuthFrom.map((cidr) => ipaddr.parseCIDR(cidr)),
    openApi: openApiOf(ROUTES, version),
    docsPage: docsPage(ROUTES, version),
  });
};
