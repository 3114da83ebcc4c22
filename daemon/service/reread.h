/* SPDX-License-Identifier: MIT */
/*
 * What the disk did not give: trust stores, Allowed Hosts, client keys, files of accounts and secrets, the
 * folder of bodies that could not be read. Each is a fault of what needs it, and is read again every few
 * seconds until it can be; that is told, and what waited goes on.
 */
#pragma once

/* After the start, and after anything was read again: tries again as long as there is something. */
void reread_watch(void);
void reread_close(void);

/* Files that are whole when they are missing: at the start what was there at the last one and is not now is
 * told in the journal; later, what is there is noted for the next start. */
void reread_tell_lost(void);
void reread_note(void);
