// The health check of a container: exit code 0 where the service of the variable APP says that it can do its work.
// It finds the port as the service does, and so it need not load it: variable, then file, then default.
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parse } from 'yaml';

/** Where each app listens: the key of the configuration, and its default. */
const PORTS = {
  standalone: ['http.port', 8080],
  gateway: ['http.port', 8080],
  'command-service': ['operations.ports.commandService', 8081],
  projector: ['operations.ports.projector', 8082],
  'expiry-watcher': ['operations.ports.expiryWatcher', 8083],
};
const TIMEOUT_MS = 2_500;

const file = process.env.REKEY_CONFIG ?? 'rekey.yml';
const settings = existsSync(file) ? (parse(readFileSync(file, 'utf8')) ?? {}) : {};
const variableOf = (key) => `REKEY_${key.replaceAll('.', '_').toUpperCase()}`;
const valueOf = (key) =>
  process.env[variableOf(key)] ?? key.split('.').reduce((place, name) => place?.[name], settings);

const [key, usual] = PORTS[process.env.APP];
const port = Number(valueOf(key) ?? usual);
const speaksTls = (valueOf('http.tls.certFile') ?? process.env.REKEY_HTTP_TLS) !== undefined;
// Of its own service on its own machine it asks how it is, not who it is.
const options = { host: '127.0.0.1', port, path: '/health/ready', timeout: TIMEOUT_MS, rejectUnauthorized: false };

const request = (speaksTls ? https : http).get(options, (response) =>
  process.exit(response.statusCode === 200 ? 0 : 1),
);
request.once('timeout', () => request.destroy(new Error('no answer in time')));
request.once('error', () => process.exit(1));
