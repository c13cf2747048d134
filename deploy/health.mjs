// Health check of a container: exits with 0 if the app named by APP is ready. Finds the port without loading the app:
// environment variable, then configuration file, then default.
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parse } from 'yaml';

/** Configuration key and default of the port of each app. */
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

const [key, defaultPort] = PORTS[process.env.APP];
const port = Number(valueOf(key) ?? defaultPort);
const speaksTls = (valueOf('http.tls.certFile') ?? process.env.REKEY_HTTP_TLS) !== undefined;
// No certificate check: it connects to 127.0.0.1, and the certificate is for the public name.
const options = { host: '127.0.0.1', port, path: '/health/ready', timeout: TIMEOUT_MS, rejectUnauthorized: false };

const request = (speaksTls ? https : http).get(options, (response) =>
  process.exit(response.statusCode === 200 ? 0 : 1),
);
request.once('timeout', () => request.destroy(new Error('no answer in time')));
request.once('error', () => process.exit(1));
