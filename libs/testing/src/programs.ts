import { execFileSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../../..');

/** Bundles a TypeScript file into a program that Node can run, in a folder. Returns its path. */
export const bundled = (entry: string, folder: string): string => {
  const program = path.join(folder, `${path.basename(entry, '.ts')}.cjs`);
  const options = {
    entryPoints: [entry],
    outfile: program,
    tsconfig: path.join(ROOT, 'tsconfig.base.json'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    packages: 'external',
  };
  // In a separate process, because esbuild does not work in the realm of a Jest test.
  const script = 'require("esbuild").buildSync(JSON.parse(process.argv[1]))';
  execFileSync(process.execPath, ['-e', script, JSON.stringify(options)], { cwd: ROOT });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  return program;
};

/** Returns a port of 127.0.0.1 that is currently free. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
};

/** Whether `REKEY_REQUIRE` lists a program or engine. Its tests then fail if it is missing, instead of being skipped. */
export const isRequired = (name: string): boolean =>
  (process.env['REKEY_REQUIRE'] ?? '')
    .split(',')
    .map((each) => each.trim())
    .includes(name);
