import { createProjectGraphAsync, readCachedProjectGraph } from '@nx/devkit';

/** Computes Nx's project graph from the files as they are, writes its cache, and fails where the cache cannot be read back. */
export async function refreshProjectGraph() {
  process.env.NX_DAEMON = 'false';
  await createProjectGraphAsync({ exitOnError: true });
  readCachedProjectGraph();
}
