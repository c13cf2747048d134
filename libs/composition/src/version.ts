import { readFileSync } from 'node:fs';
import path from 'node:path';

const readVersion = (): string => {
  // A bundle (dist/apps/<app>/main.js) is as many folders below package.json as this source file.
  const file = path.join(__dirname, '../../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
};

/** Version of Rekey, from package.json. */
export const VERSION = readVersion();
