// Processes that are stopped (SIGSTOP).
import { readFileSync } from 'node:fs';

export const isStopped = (pid) => / [Tt] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').split(')')[1].slice(0, 3));
