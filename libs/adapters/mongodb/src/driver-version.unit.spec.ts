import { readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../../../..');
const json = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(ROOT, file), 'utf8')) as Record<string, unknown>;

// `MongoDatabase` works around undocumented behaviour of the driver: review `replaceClientIfStuck` and `isSocketError` in
// mongo-database.ts, and run mongo-read-models.int.spec.ts, before changing the version.
it('pins the MongoDB driver to the exact version that is installed', () => {
  const { mongodb } = json('package.json')['dependencies'] as Record<string, string>;
  expect(mongodb).toBe(json('node_modules/mongodb/package.json')['version']);
});
