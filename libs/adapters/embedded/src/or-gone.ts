/** A collection has been dropped: its table, or a column of it, does not exist. */
export const GONE = Symbol('gone');

const isGone = (error: unknown): boolean => /no such (table|column)/.test((error as Error).message);

/** Runs a read of a collection; returns `GONE` if the collection has been dropped. */
export const orGone = <T>(read: () => T): T | typeof GONE => {
  try {
    return read();
  } catch (error) {
    if (isGone(error)) return GONE;
    throw error;
  }
};

/** The same for a pending read or write. */
export const orGoneAsync = async <T>(pending: Promise<T>): Promise<T | typeof GONE> => {
  try {
    return await pending;
  } catch (error) {
    if (isGone(error)) return GONE;
    throw error;
  }
};
