/** Name of the store's database file in its folder. */
export const STORE_FILE = 'rekey.db';

/** Marks the file as a Rekey store (`PRAGMA application_id`): "RKEY". */
export const APPLICATION_ID = 0x524b4559;
