import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Paths of PEM files; `both` contains the key and the certificate. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  readonly both: string;
}

const openssl = (...args: readonly string[]): void =>
  void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];

/** A certificate authority for tests, valid for a day, with its files in a folder. */
export class Authority {
  /** Path of its certificate. */
  readonly cert: string;
  private readonly key: string;

  constructor(
    private readonly folder: string,
    private readonly name: string,
  ) {
    this.cert = path.join(folder, `${name}.pem`);
    this.key = path.join(folder, `${name}-key.pem`);
    openssl('req', '-x509', ...NEW_KEY, '-keyout', this.key, '-out', this.cert, '-subj', `/CN=${name}`);
  }

  /** Issues a certificate for a subject; with `host`, also for that host name. */
  issue(subject: string, host?: string): CertificateFiles {
    const begin = path.join(this.folder, `${subject}-by-${this.name}`);
    const [cert, key, both] = [`${begin}.pem`, `${begin}-key.pem`, `${begin}-both.pem`] as const;
    const request = `${begin}.csr`;
    const extensions = `${begin}.ext`;
    openssl('req', ...NEW_KEY.slice(0, -2), '-keyout', key, '-out', request, '-subj', `/CN=${subject}`);
    writeFileSync(extensions, host === undefined ? '' : `subjectAltName=DNS:${host}\n`);
    const by = ['-CA', this.cert, '-CAkey', this.key, '-CAcreateserial', '-days', '1'];
    openssl('x509', '-req', '-in', request, ...by, '-extfile', extensions, '-out', cert);
    writeFileSync(both, `${readFileSync(key, 'utf8')}${readFileSync(cert, 'utf8')}`);
    return { cert, key, both };
  }
}
