import { destination, pino, stdTimeFunctions, type DestinationStream, type Level, type Logger } from 'pino';
import { redactLine } from './redaction';

export interface LoggerOptions {
  /** `logging.level`. */
  readonly level: Level | 'silent';
  /** Where lines go; default standard output. */
  readonly to?: DestinationStream;
}

const STANDARD_OUTPUT = 1;

/**
 * A logger of JSON lines. Every line is redacted as a whole at the very end, so it makes no difference whether a secret
 * came in a message, a field at any depth, an error, its cause or stack, or the fields of a child logger.
 */
export const createLogger = ({ level, to = destination({ fd: STANDARD_OUTPUT, sync: true }) }: LoggerOptions): Logger =>
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
