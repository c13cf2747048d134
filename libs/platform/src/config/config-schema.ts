import { cidrSchema, domainIdSchema, roleSchema } from '@rekey/contracts';
import { CronPattern } from 'croner';
import { z } from 'zod';
import {
  adaptersSchema,
  eventstoreSchema,
  kafkaNotifierSchema,
  kafkaSchema,
  missingOf,
  mongodbSchema,
  operationsSchema,
  redisSchema,
  serviceSchema,
  storageSchema,
  tracingSchema,
} from './config-engines';
import { filePath, milliseconds, section, unique, webUrl } from './config-parts';

const isCronExpression = (text: string): boolean => {
  try {
    return text.trim().split(/\s+/).length === 6 && Boolean(new CronPattern(text));
  } catch {
    return false;
  }
};

const isTimezone = (name: string): boolean => {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
};

const tokenSchema = z.strictObject({
  name: z.string().regex(/^[\x21-\x7e]{1,64}$/, 'must have 1 to 64 visible ASCII characters'),
  sha256: z
    .string('must be a string; put it in quotes')
    .regex(/^[0-9a-fA-F]{64}$/, 'must be a SHA-256 in 64 hexadecimal digits')
    .transform((text) => text.toLowerCase()),
  roles: z.array(roleSchema).min(1),
  domains: z.array(domainIdSchema).default([]),
});

const oidcSchema = z.strictObject({
  issuer: webUrl,
  audience: z.string().min(1),
  rolesClaim: z.string().min(1).default('roles'),
  domainsClaim: z.string().min(1).optional(),
  roleMap: z.record(z.string(), roleSchema).default({}),
});

const argon2Schema = (least: { memoryKiB: number; iterations: number }, usual: typeof least) =>
  section({
    memoryKiB: z.int().min(least.memoryKiB).max(4_194_304).default(usual.memoryKiB),
    iterations: z.int().min(least.iterations).max(1_000).default(usual.iterations),
    parallelism: z.int().min(1).max(255).default(1),
  }).refine(({ memoryKiB, parallelism }) => memoryKiB >= 8 * parallelism, {
    path: ['memoryKiB'],
    error: 'must be at least 8 times the parallelism',
  });

/** Minimum for values of unknown entropy: OWASP Password Storage Cheat Sheet, Argon2id. */
const OWASP_MINIMUM = { memoryKiB: 19_456, iterations: 2 };

const webhookSchema = section({
  enabled: z.boolean().default(false),
  url: webUrl.optional(),
  secretFile: filePath.optional(),
}).superRefine(({ enabled, url, secretFile }, context) => {
  for (const [name, value] of Object.entries({ url, secretFile }))
    if (enabled && value === undefined)
      context.addIssue({ code: 'custom', path: [name], message: 'is required if the webhook is enabled' });
});

const keysSchema = z.strictObject({
  applications: section({
    secretsMax: z.int().min(1).max(1_000).default(10),
  }),
  http: section({
    host: z.string().min(1).default('127.0.0.1'),
    port: z.int().min(0).max(65_535).default(8080),
    tls: z.strictObject({ certFile: filePath, keyFile: filePath }).optional(),
    publicUrl: webUrl.optional(),
    trustedProxies: z.array(cidrSchema).default([]),
    forwardAuthFrom: z.array(cidrSchema).default([]),
    bodyLimitBytes: z.int().min(1_024).max(67_108_864).default(262_144),
    requestTimeoutMs: milliseconds(1_000).default(30_000),
  }),
  access: section({
    tokens: z
      .array(tokenSchema)
      .refine((tokens) => unique(tokens.map(({ name }) => name)), 'must have different names')
      .refine((tokens) => unique(tokens.map(({ sha256 }) => sha256)), 'must have different digests')
      .default([]),
    services: z
      .array(serviceSchema)
      .refine((services) => unique(services.map(({ name }) => name)), 'must have different names')
      .refine(
        (services) => unique(services.flatMap(({ publicJwks }) => publicJwks.keys.map(({ kid }) => kid))),
        'must have different kids',
      )
      .default([]),
    oidc: oidcSchema.optional(),
    signingKeyFile: filePath.optional(),
    sealingKeyFile: filePath.optional(),
    commandSealKeyFile: filePath.optional(),
    indexKeyFile: filePath.optional(),
  }),
  storage: storageSchema,
  adapters: adaptersSchema,
  eventstore: eventstoreSchema,
  mongodb: mongodbSchema,
  kafka: kafkaSchema,
  redis: redisSchema,
  hashing: section({
    generated: argon2Schema({ memoryKiB: 8, iterations: 1 }, { memoryKiB: 1_024, iterations: 1 }),
    imported: argon2Schema(OWASP_MINIMUM, OWASP_MINIMUM),
    pepperFile: filePath.optional(),
  }),
  authentication: section({
    rememberedMax: z.int().min(1).max(10_000_000).default(100_000),
    failuresPerMinuteMax: z.int().min(1).max(1_000_000).default(10),
    failurePairsMax: z.int().min(1).max(10_000_000).default(50_000),
    slowChecksPerClientMax: z.int().min(1).max(64).default(2),
  }),
  commands: section({
    timeoutMs: milliseconds(100).default(10_000),
    waitTimeoutMs: milliseconds(0).default(5_000),
    outcomesKeptDays: z.int().min(1).max(3_650).default(30),
  }),
  notifications: section({
    enabled: z.boolean().default(true),
    cronExpression: z
      .string()
      .refine(isCronExpression, 'must be a cron expression of six fields, seconds first')
      .default('0 0 5 * * *'),
    timezone: z.string().refine(isTimezone, 'must be an IANA time zone').default('UTC'),
    expiryThresholds: z
      .array(z.number().gt(0).max(3_650))
      .max(20)
      .refine(unique, 'must be different from each other')
      .default([20, 15, 10, 5, 1]),
  }),
  notifiers: section({
    ui: section({ enabled: z.boolean().default(true) }),
    log: section({ enabled: z.boolean().default(true) }),
    webhook: webhookSchema,
    kafka: kafkaNotifierSchema,
  }),
  operations: operationsSchema,
  tracing: tracingSchema,
  logging: section({
    level: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  }),
});

/** All keys of the configuration with their bounds and defaults; `rekey.example.yml` explains them. Messages never quote values. */
export const configSchema = keysSchema.superRefine((settings, context) => {
  for (const { path, message } of missingOf(settings)) context.addIssue({ code: 'custom', path: [...path], message });
});

export type Settings = Readonly<z.output<typeof configSchema>>;

/** A key, with what is needed to parse it from a variable. */
export interface ConfigKey {
  readonly path: readonly string[];
  readonly kind: 'section' | 'map' | 'list' | 'number' | 'boolean' | 'text';
  /** Kind of a list's items. */
  readonly of?: 'number' | 'text' | 'object';
}

interface JsonSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
}

const kindOf = ({ type, properties }: JsonSchema): ConfigKey['kind'] => {
  if (type === 'object') return properties ? 'section' : 'map';
  if (type === 'array') return 'list';
  if (type === 'boolean') return 'boolean';
  return type === 'integer' || type === 'number' ? 'number' : 'text';
};

const keysOf = (schema: JsonSchema, path: readonly string[]): ConfigKey[] =>
  Object.entries(schema.properties ?? {}).flatMap(([name, each]) => {
    const kind = kindOf(each);
    const itemKind = each.items && kindOf(each.items);
    const of = itemKind === 'number' || itemKind === 'text' ? itemKind : 'object';
    const key: ConfigKey = { path: [...path, name], kind, ...(kind === 'list' && { of }) };
    return [key, ...keysOf(each, key.path)];
  });

/** All keys of the schema, sections before their keys. Derived from the schema, so that none is missing. */
export const CONFIG_KEYS: readonly ConfigKey[] = keysOf(
  z.toJSONSchema(keysSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema,
  [],
);

/** Returns the environment variable of a key: `applications.secretsMax` is `REKEY_APPLICATIONS_SECRETSMAX`. */
export const variableOf = (path: readonly string[]): string => ['rekey', ...path].join('_').toUpperCase();
