import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, parseAllDocuments } from 'yaml';

// Readers of the files in deploy, for tests.

export const ROOT = path.resolve(__dirname, '..');
export const textOf = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
export const fileExists = (file: string): boolean => existsSync(path.join(ROOT, file));

export type Env = Readonly<Record<string, string>>;

/** The fields of a Compose service that the tests read. */
export interface ComposeService {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string; readonly args: { readonly APP: string } };
  readonly extends?: { readonly file: string; readonly service: string };
  readonly environment?: Env;
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
}

export interface ComposeFile {
  readonly name: string;
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export const composeFile = (file: string): ComposeFile => parse(textOf(file), { merge: true }) as ComposeFile;

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly resources?: { readonly requests: Env; readonly limits: Env };
  readonly securityContext?: object;
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

/** The fields of a Kubernetes object that the tests read. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Env;
  readonly spec: {
    readonly replicas?: number;
    readonly maxUnavailable?: number;
    readonly ports?: readonly { readonly port: number; readonly targetPort: string }[];
    readonly template: {
      readonly metadata: { readonly labels: Env; readonly annotations?: Env };
      readonly spec: {
        readonly containers: readonly Container[];
        readonly securityContext: object;
        readonly enableServiceLinks: boolean;
        readonly volumes: readonly {
          readonly name: string;
          readonly configMap?: { readonly name: string };
          readonly secret?: { readonly secretName: string };
        }[];
      };
    };
  };
}

export const manifestsIn = (text: string): Manifest[] =>
  parseAllDocuments(text).map((document) => document.toJS() as Manifest);

/** Variables that the image sets. */
export const imageEnvironment = (): Env => {
  const stage = lastStage();
  return Object.fromEntries(
    [...stage.matchAll(/\b(REKEY_\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
  );
};

/** The last stage of the Dockerfile, which becomes the image. */
export const lastStage = (): string => {
  const dockerfile = textOf('deploy/Dockerfile');
  return dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
};
