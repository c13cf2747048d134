import { createProjectGraphAsync, readCachedProjectGraph } from '@nx/devkit';

/** Computes and caches Nx's project graph. Throws if the cache cannot be read back. */
export async function refreshProjectGraph() {
  process.env.NX_DAEMON = 'false';
  await createProjectGraphAsync({ exitOnError: true });
  readCachedProjectGraph();
}
