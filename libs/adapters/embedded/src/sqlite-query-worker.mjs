// @ts-check
/**
 * Worker thread for queries of one SQLite file that may take long (searches, counts), so that they do not block the event
 * loop. Receives `{ id, sql, params }` or `{ close: true }`. Sends `{ id, values }` with the first column of the rows,
 * `{ id, failure }`, or `{ failure }` without an id if the file cannot be opened.
 */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'libsql';

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
const STATEMENTS_KEPT = 200;

/** @type {Map<string, any>} */
const statements = new Map();
/** @type {any} */
let db;

/** @param {string} sql */
const prepared = (sql) => {
  const statement = statements.get(sql) ?? db.prepare(sql).raw();
  statements.delete(sql);
  statements.set(sql, statement);
  if (statements.size > STATEMENTS_KEPT) statements.delete(/** @type {string} */ (statements.keys().next().value));
  return statement;
};

/** @param {any} error */
const failureOf = (error) => ({ code: String(error?.code ?? 'ERROR'), message: String(error?.message) });

/** @param {{ id: number, sql: string, params: unknown[], close?: boolean }} message */
const answer = ({ id, sql, params, close }) => {
  if (close) {
    statements.clear();
    db.close();
    port.close();
    return;
  }
  try {
    const values = prepared(sql)
      .all(params)
      .map((/** @type {unknown[]} */ row) => row[0]);
    port.postMessage({ id, values });
  } catch (error) {
    port.postMessage({ id, failure: failureOf(error) });
  }
};

try {
  db = new Database(workerData.file, { timeout: workerData.busyTimeoutMs });
  db.exec('PRAGMA query_only = 1');
  db.exec('PRAGMA cache_size = -16000');
  port.on('message', answer);
} catch (error) {
  port.postMessage({ failure: failureOf(error) });
  port.close();
}
