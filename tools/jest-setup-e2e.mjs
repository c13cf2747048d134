// Builds outdated apps before the end-to-end tests, which run the bundles.
import { buildOutdated } from './build.mjs';
import makeRunFolder from './jest-setup-int.mjs';

export default async () => {
  makeRunFolder();
  await buildOutdated();
};
