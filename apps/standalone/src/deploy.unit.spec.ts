import { loadConfig } from '@rekey/platform';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

const root = path.resolve(__dirname, '../../..');
const textOf = (file: string): string => readFileSync(path.join(root, file), 'utf8');

interface Service {
  readonly build: { readonly dockerfile: string; readonly args: { readonly APP: string } };
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
}

describe('the container files', () => {
  const dockerfile = textOf('deploy/Dockerfile');
  const compose = parse(textOf('docker-compose.yml')) as {
    readonly services: Readonly<Record<string, Service>>;
    readonly volumes: Readonly<Record<string, unknown>>;
  };
  const imageEnvironment = Object.fromEntries(
    [...dockerfile.matchAll(/\b(REKEY_\w+)=(\S+)/g)].map(([, name, value]) => [name, value]),
  );

  it('build apps that are there, from files that are there', () => {
    for (const { build } of Object.values(compose.services)) {
      expect(existsSync(path.join(root, build.dockerfile))).toBe(true);
      expect(existsSync(path.join(root, 'apps', build.args.APP, 'src/main.ts'))).toBe(true);
    }
    for (const [, file] of dockerfile.matchAll(/^RUN node (tools\/\S+)/gm))
      expect(existsSync(path.join(root, file ?? ''))).toBe(true);
  });

  it('set variables that the configuration knows, and publish the port that it listens on', () => {
    for (const service of Object.values(compose.services)) {
      const config = loadConfig({ env: { ...imageEnvironment, ...service.environment } });
      expect(config.http.host).toBe('0.0.0.0');
      expect(service.ports.map((port) => Number(port.split(':').at(-1)))).toEqual([config.http.port]);
      expect(service.volumes.map((volume) => volume.split(':')[1])).toEqual([config.storage.path]);
      for (const volume of service.volumes) expect(compose.volumes).toHaveProperty(volume.split(':')[0] ?? '');
      expect(dockerfile).toContain(`EXPOSE ${config.http.port}`);
      expect(dockerfile).toContain(`http://127.0.0.1:${config.http.port}/health/ready`);
    }
  });

  it('run as nobody special', () => {
    const stage = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
    expect(stage).toMatch(/^USER node$/m);
    expect(stage).not.toMatch(/npm|COPY \. /);
  });
});
