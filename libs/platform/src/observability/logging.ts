import { destination, pino, stdTimeFunctions, type DestinationStream, type Level, type Logger } from 'pino';
import { redactLine } from './redaction';

export interface LoggerOptions {
  /** `logging.level`. */
  readonly level: Level | 'silent';
  /** Where lines go; default standard output. */
  readonly to?: DestinationStream;
}

const STANDARD_OUTPUT = 1;

/** Lines are written together when many come at once, and what is left of them when the process ends. */
const standardOutput = (): DestinationStream => destination({ fd: STANDARD_OUTPUT, sync: false });

/**
 * A logger of JSON lines. Every line is redacted as a whole at the very end, so it makes no difference whether a secret
 * came in a message, a field at any depth, an error, its cause or stack, or the fields of a child logger.
 */
export const createLogger = ({ level, to = standardOutput() }: LoggerOptions): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redactLine },
    },
    to,
  );
