import { domainIdSchema, durationSchema, roleSchema } from '@rekey/contracts';
import { z } from 'zod';
import { filePath, section, unique, webUrl } from './config-parts';

/** The adapters to choose from, by port. The defaults follow `storage.kind`. */
const ADAPTERS = {
  events: ['sqlite', 'eventstoredb'],
  views: ['sqlite', 'mongodb'],
  bus: ['local', 'kafka'],
  jobs: ['sqlite', 'bullmq'],
} as const;

export type Adapters = { readonly [Port in keyof typeof ADAPTERS]: (typeof ADAPTERS)[Port][number] };

/** Default adapters. */
const DEFAULT_ADAPTERS: Readonly<Record<'embedded' | 'distributed', Adapters>> = {
  embedded: { events: 'sqlite', views: 'sqlite', bus: 'local', jobs: 'sqlite' },
  distributed: { events: 'eventstoredb', views: 'mongodb', bus: 'kafka', jobs: 'bullmq' },
};

export const storageSchema = section({
  kind: z.enum(['embedded', 'distributed']).default('embedded'),
  path: filePath.default('./data'),
});

export const adaptersSchema = section({
  events: z.enum(ADAPTERS.events).optional(),
  views: z.enum(ADAPTERS.views).optional(),
  bus: z.enum(ADAPTERS.bus).optional(),
  jobs: z.enum(ADAPTERS.jobs).optional(),
});

const url = (...schemes: string[]) => {
  const beginnings = schemes.map((scheme) => `${scheme}://`);
  const fits = (text: string): boolean => beginnings.some((beginning) => text.startsWith(beginning));
  return z.string().refine(fits, `must begin with ${beginnings.join(' or ')}`);
};

export const eventstoreSchema = section({
  connectionString: url('esdb', 'esdb+discover').optional(),
  connectionStringFile: filePath.optional(),
  streamPrefix: z
    .string()
    .regex(/^[A-Za-z0-9._]{0,64}$/, 'must have at most 64 letters, digits, . and _')
    .default(''),
});

export const mongodbSchema = section({
  uri: url('mongodb', 'mongodb+srv').optional(),
  uriFile: filePath.optional(),
  database: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,38}$/, 'must have 1 to 38 letters, digits, - and _')
    .default('rekey'),
  checkReadConcern: z.enum(['local', 'majority', 'linearizable']).default('local'),
});

export const redisSchema = section({
  url: url('redis', 'rediss').optional(),
  urlFile: filePath.optional(),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must have 1 to 64 letters, digits, - and _')
    .default('rekey'),
});

const topic = z.string().regex(/^[A-Za-z0-9._-]{1,249}$/, 'must be a name of a Kafka topic');

export const kafkaSchema = section({
  brokers: z.array(z.string().regex(/^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, 'must be host:port')).default([]),
  ssl: section({
    enabled: z.boolean().default(false),
    caFile: filePath.optional(),
    certFile: filePath.optional(),
    keyFile: filePath.optional(),
  }),
  sasl: z
    .strictObject({
      mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
      username: z.string().min(1),
      passwordFile: filePath,
    })
    .optional(),
  topicPrefix: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,100}$/, 'must have at most 100 letters, digits, ., - and _')
    .default(''),
  replyTopics: z
    .array(z.string().regex(/^[A-Za-z0-9._*-]{1,249}$/, 'must be a topic name; * matches any text'))
    .min(1)
    .optional(),
  audience: z.string().min(1).max(255).default('rekey'),
  maxCommandAge: section({
    amount: durationSchema.shape.amount.default(1),
    unit: durationSchema.shape.unit.default('days'),
  }),
});

/** A service's public signing keys (RFC 7517). Private keys are refused. */
const publicJwksSchema = z.strictObject({
  keys: z
    .array(
      z
        .object({
          kty: z.enum(['OKP', 'EC']),
          crv: z.enum(['Ed25519', 'P-256']),
          x: z.string().regex(/^[\w-]{43}$/),
          y: z
            .string()
            .regex(/^[\w-]{43}$/)
            .optional(),
          kid: z.string().min(1).max(255),
          d: z.never('must not hold a private key').optional(),
          use: z.literal('sig').optional(),
          alg: z.enum(['EdDSA', 'ES256']).optional(),
        })
        .refine(({ kty, crv, y }) => (kty === 'EC' ? crv === 'P-256' && y !== undefined : crv === 'Ed25519'), {
          path: ['crv'],
          error: 'must be Ed25519 of kty OKP, or P-256 with x and y of kty EC',
        }),
    )
    .min(1)
    .refine((keys) => unique(keys.map(({ kid }) => kid)), 'must have different kids'),
});

/** A service that sends commands over Kafka, and what it may do. */
export const serviceSchema = z.strictObject({
  name: z.string().regex(/^[\x21-\x7e]{1,64}$/, 'must have 1 to 64 visible ASCII characters'),
  publicJwks: publicJwksSchema,
  roles: z.array(roleSchema).min(1),
  domains: z.array(domainIdSchema).default([]),
  mayActFor: z.boolean().default(false),
});

const port = z.int().min(0).max(65_535);

/** Address of health and metrics of the services without an API. */
export const operationsSchema = section({
  host: z.string().min(1).default('127.0.0.1'),
  ports: section({
    commandService: port.default(8081),
    projector: port.default(8082),
    expiryWatcher: port.default(8083),
  }),
});

export const tracingSchema = section({
  enabled: z.boolean().default(false),
  url: webUrl.default('http://127.0.0.1:4318/v1/traces'),
  sampleRatio: z.number().min(0).max(1).default(1),
});

export const kafkaNotifierSchema = section({
  enabled: z.boolean().default(false),
  topic: topic.optional(),
});

interface EngineSettings {
  readonly storage: { readonly kind: 'embedded' | 'distributed' };
  readonly adapters: { readonly [Port in keyof Adapters]?: Adapters[Port] | undefined };
  readonly eventstore: z.output<typeof eventstoreSchema>;
  readonly mongodb: z.output<typeof mongodbSchema>;
  readonly redis: z.output<typeof redisSchema>;
  readonly kafka: z.output<typeof kafkaSchema>;
  readonly notifiers: { readonly kafka: { readonly enabled: boolean } };
}

/** Returns the adapter of each port. */
export const adaptersOf = ({ storage, adapters }: Pick<EngineSettings, 'storage' | 'adapters'>): Adapters => {
  const usual = DEFAULT_ADAPTERS[storage.kind];
  return {
    events: adapters.events ?? usual.events,
    views: adapters.views ?? usual.views,
    bus: adapters.bus ?? usual.bus,
    jobs: adapters.jobs ?? usual.jobs,
  };
};

/** Returns the keys that a chosen adapter needs and that are missing. */
export const missingOf = (
  settings: EngineSettings,
): { readonly path: readonly string[]; readonly message: string }[] => {
  const { eventstore, mongodb, redis, kafka, notifiers } = settings;
  const { events, views, bus, jobs } = adaptersOf(settings);
  const needs = [
    {
      path: ['eventstore', 'connectionString'],
      by: 'adapters.events eventstoredb',
      lacks: events === 'eventstoredb' && !eventstore.connectionString && !eventstore.connectionStringFile,
    },
    {
      path: ['mongodb', 'uri'],
      by: 'adapters.views mongodb',
      lacks: views === 'mongodb' && !mongodb.uri && !mongodb.uriFile,
    },
    { path: ['redis', 'url'], by: 'adapters.jobs bullmq', lacks: jobs === 'bullmq' && !redis.url && !redis.urlFile },
    { path: ['kafka', 'brokers'], by: 'adapters.bus kafka', lacks: bus === 'kafka' && kafka.brokers.length === 0 },
    { path: ['kafka', 'brokers'], by: 'notifiers.kafka', lacks: notifiers.kafka.enabled && kafka.brokers.length === 0 },
  ];
  return needs.filter(({ lacks }) => lacks).map(({ path, by }) => ({ path, message: `is required by ${by}` }));
};
