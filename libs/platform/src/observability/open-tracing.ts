import type { Config } from '../config/config';
import type { Tracing, TracingAbout } from './tracing';

/** Starts tracing to the configured collector. Returns undefined, and loads nothing, if tracing is disabled. */
export const openTracing = async (config: Config['tracing'], about: TracingAbout): Promise<Tracing | undefined> => {
  if (!config.enabled) return undefined;
  const { OtlpTracing } = await import('./tracing-otlp');
  return new OtlpTracing(config, about);
};
