import { loadConfig } from '@rekey/platform';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createProcess, type Process } from './process';
import { SERVICES } from './process-context';

describe('a process on a folder of its own', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-process-'));
  const lines: string[] = [];
  const logTo = { write: (line: string): void => void lines.push(line) };
  const start = (more: Readonly<Record<string, string>> = {}): Promise<Process> => {
    const env = { REKEY_STORAGE_PATH: folder, REKEY_LOGGING_LEVEL: 'error', REKEY_HTTP_PORT: '0', ...more };
    return createProcess({ config: loadConfig({ env }), services: SERVICES, logTo });
  };
  beforeEach(() => void (lines.length = 0));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('closes everything and releases the folder when a step of the shutdown throws', async () => {
    const broken = await start();
    await broken.listen();
    const close = jest.spyOn(broken.bus(), 'close').mockRejectedValue(new Error('the bus does not stop'));
    await expect(broken.close()).rejects.toThrow('command bus: the bus does not stop');
    expect(close).toHaveBeenCalled();
    expect(lines).toEqual([expect.stringContaining('shutdown failed')]);
    expect(broken.server.server.listening).toBe(false);
    await (await start()).close();
  });

  it('releases the folder when it cannot start', async () => {
    const missing = path.join(folder, 'no-such-key.json');
    await expect(start({ REKEY_ACCESS_SIGNINGKEYFILE: missing })).rejects.toThrow(missing);
    await (await start()).close();
  });

  it('locks the folder while it runs', async () => {
    const running = await start();
    await expect(start()).rejects.toThrow(folder);
    await running.close();
  });
});
