/** A word as `sh` takes it: a device's name may have any character but a blank and a slash. */
export const word = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : singleQuoted(text));

export const singleQuoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
