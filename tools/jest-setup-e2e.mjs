// Before end-to-end tests: they run the built apps, so build those that are not current.
import { buildOutdated } from './build.mjs';
import makeRunFolder from './jest-setup-int.mjs';

export default async () => {
  makeRunFolder();
  await buildOutdated();
};
