/* SPDX-License-Identifier: MIT */
/*
 * What station.db holds. A step, once released, is never changed: a later schema is one more step at the
 * end. Times are Unix seconds.
 *
 * message.due      when its next recipient comes due: 0 now, -1 now for all of them, NULL never (held,
 *                  being sent, finished)
 * message.expires_clock  on the account's clock, which stands still while the account is stopped;
 *                  -1: a fresh lifetime, begun at the next look; the largest integer: never
 * message.expires  by the wall clock, had it never been set nor the account's stood still: no longer read
 * message.finished when it was sent to all; NULL before
 * body.place       seq << 20 | number of the chunk, each of 256 KiB but the last
 * body.digest      tag of data (content_tag.h), or its SHA-256 of before there were tags; NULL: taken in
 *                  before there was either, unchecked
 * body_file        of a message that has no chunks: name: of its file in bodies/ (body_file.h); digests: the
 *                  tags of each 256 KiB of it, one behind the other, or SHA-256 each
 * message.ret, envelope_id, recipient.notify, original  what was asked about delivery reports, and to whom it
 *                  went at first (RFC 3461); NULL: nothing
 * recipient.told   1 once its failure was told by a notice, or is to be told by none
 * recipient.was    the state that `sending` replaced
 * cursor           of a POP3 account (folder ''): only that it was looked at once
 * place            what one account calls one folder, by a number
 * place.sha256     1: it is of before there were tags, and may have rows in seen with SHA-256
 * seen             that a message was dealt with: kept as long as the server could show it again, so it is
 *                  small. `received` before
 * seen.inbox       number of its row in inbox (which may have ended); 0: it was handed on; NULL: a UIDL that
 *                  is known and of which nothing was taken
 * seen.left_size   of a message that was too large and left at the server: its size there; the file is then
 *                  the note about it. 0: the message itself is here
 * seen.gone        1: a UIDL that the server no longer has. 2: the same, found by a poll that is not over:
 *                  should its message come under another UIDL, it is known by its digest
 * seen.told        of a UIDL: enum seen_told. Of IMAP no longer read: untold
 * seen.generation  counts messages that a POP3 server gave the same UIDL one after the other
 * seen.digest      the first 15 bytes of the tag of the message; 16 bytes: of its SHA-256, of before
 * untold           UIDs from first to last, of messages that are here and of which an IMAP server is still to
 *                  be told (flagged, deleted); each has a row in seen
 * inbox            a file of a Maildir and what is shown of it; the row ends with the file. file: its name
 *                  without flags; suffix: those; in_new: it lies in new/, else in cur/; id: inbox_id() of the
 *                  name; size: of the message as it came, or of a file that somebody else has put there;
 *                  line_ends: enum line_ends; box: the folder of the Maildir that it lies in (".Alarms"), ''
 *                  for the Maildir itself
 * meta.contentKey  16 bytes: of the tags (content_tag.h)
 * meta.crlfTo      number of the last row of inbox whose file has the line ends of an earlier version;
 *                  crlfAt: up to which number they have been made LF
 * box              how many rows of inbox an account has: more by inbox_rows.c, fewer by a trigger
 * owner            which account a name is: its identity ('' for one of before there were any), and
 *                  enum owner_state
 * missing          messages that the server lists and did not hand out; state: enum missing_state
 * fact             values that are kept of an account (kept.h)
 * offer            what a named subscriber has not acknowledged: its mail.received events, one row each; seq
 *                  counts for all of them together (meta: offerSeq), so that an event's cursor is the same
 *                  for each
 * slot             that a message has gone, or goes, to a recipient (in small letters) of an account with
 *                  maxPerRecipient, and since when; single: it counts, and is no digest
 * flood.next       when the next digest to a recipient leaves
 * subscriber.accounts  JSON array of names; NULL: every account
 * subscriber.missed    offers that were dropped unacknowledged, since missed_since, up to missed_to
 */
#include "daemon/store/database.h"

const char *const schema_steps[] = {
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"

        "CREATE TABLE message ("
        " seq INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, state INTEGER NOT NULL,"
        " priority INTEGER NOT NULL, due INTEGER, claimed INTEGER NOT NULL DEFAULT 0,"
        " expires_clock INTEGER NOT NULL, lifetime INTEGER NOT NULL, expires INTEGER NOT NULL, finished "
        "INTEGER,"
        " attempts INTEGER NOT NULL DEFAULT 0, maybe_sent INTEGER NOT NULL DEFAULT 0,"
        " size INTEGER NOT NULL, eight_bit INTEGER NOT NULL, header_utf8 INTEGER NOT NULL,"
        " submitted INTEGER NOT NULL, sender TEXT NOT NULL, message_id TEXT NOT NULL,"
        " submitted_by TEXT NOT NULL, key TEXT) STRICT;"
        "CREATE INDEX message_due ON message (account, priority, due, seq) WHERE due IS NOT NULL;"
        "CREATE INDEX message_open ON message (account, seq) WHERE finished IS NULL;"
        "CREATE INDEX message_expiry ON message (account, expires_clock) WHERE finished IS NULL;"
        "CREATE INDEX message_finished ON message (finished) WHERE finished IS NOT NULL;"
        "CREATE INDEX message_claimed ON message (claimed) WHERE claimed = 1;"
        "CREATE UNIQUE INDEX message_key ON message (submitted_by, key) WHERE key IS NOT NULL;"

        "CREATE TABLE recipient ("
        " seq INTEGER NOT NULL REFERENCES message ON DELETE CASCADE, number INTEGER NOT NULL,"
        " address TEXT NOT NULL, state INTEGER NOT NULL, was INTEGER NOT NULL DEFAULT 0,"
        " attempts INTEGER NOT NULL DEFAULT 0, next_attempt INTEGER NOT NULL DEFAULT 0,"
        " reply TEXT, enhanced TEXT, cause TEXT, time INTEGER, PRIMARY KEY (seq, number)) STRICT, WITHOUT "
        "ROWID;"

        "CREATE TABLE history ("
        " seq INTEGER NOT NULL REFERENCES message ON DELETE CASCADE, number INTEGER NOT NULL,"
        " time INTEGER NOT NULL, host TEXT, tls TEXT, result TEXT NOT NULL,"
        " PRIMARY KEY (seq, number)) STRICT, WITHOUT ROWID;"

        "CREATE TABLE body (place INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"

        "CREATE TABLE counts ("
        " account TEXT NOT NULL, state INTEGER NOT NULL, messages INTEGER NOT NULL, bytes INTEGER NOT NULL,"
        " PRIMARY KEY (account, state)) STRICT, WITHOUT ROWID;"

        "CREATE TABLE cursor ("
        " account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,"
        " PRIMARY KEY (account, folder)) STRICT, WITHOUT ROWID;"

        "CREATE TABLE received ("
        " account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,"
        " uidl TEXT NOT NULL, generation INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0,"
        " told INTEGER NOT NULL, received INTEGER NOT NULL, file TEXT, size INTEGER NOT NULL, digest BLOB,"
        " sender TEXT, subject TEXT, date TEXT, message_id TEXT,"
        " PRIMARY KEY (account, folder, uidvalidity, uid, uidl, generation)) STRICT, WITHOUT ROWID;"
        "CREATE INDEX received_untold ON received (account, folder) WHERE told = 0;"
        "CREATE INDEX received_digest ON received (digest) WHERE digest IS NOT NULL;"

        "CREATE TABLE fact ("
        " account TEXT NOT NULL, name TEXT NOT NULL, value ANY NOT NULL,"
        " PRIMARY KEY (account, name)) STRICT, WITHOUT ROWID;",

        /* The first look at a POP3 account is over in the transaction that notes what it found: it was a fact
         * by itself, written some time after. */
        "INSERT OR IGNORE INTO cursor SELECT account, '', 0, 0 FROM fact WHERE name = 'pop3Looked';"
        "DELETE FROM fact WHERE name = 'pop3Looked';",

        "ALTER TABLE message ADD COLUMN ret TEXT;"
        "ALTER TABLE message ADD COLUMN envelope_id TEXT;"
        "ALTER TABLE recipient ADD COLUMN notify TEXT;",

        "CREATE TABLE subscriber ("
        " name TEXT PRIMARY KEY, uid INTEGER NOT NULL, accounts TEXT, made INTEGER NOT NULL,"
        " seen INTEGER NOT NULL, pending INTEGER NOT NULL DEFAULT 0, missed INTEGER NOT NULL DEFAULT 0,"
        " missed_since INTEGER NOT NULL DEFAULT 0, missed_to INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT "
        "ROWID;"

        "CREATE TABLE offer ("
        " subscriber TEXT NOT NULL REFERENCES subscriber ON DELETE CASCADE, seq INTEGER NOT NULL,"
        " time INTEGER NOT NULL, account TEXT NOT NULL, data TEXT NOT NULL,"
        " PRIMARY KEY (subscriber, seq)) STRICT, WITHOUT ROWID;",

        /* What failed before there were notices gets none. */
        "ALTER TABLE recipient ADD COLUMN told INTEGER NOT NULL DEFAULT 0;"
        "UPDATE recipient SET told = 1 WHERE state = 5;",

        "ALTER TABLE received ADD COLUMN left_size INTEGER NOT NULL DEFAULT 0;"
        "CREATE INDEX received_left ON received (account, folder) WHERE left_size > 0;",

        "ALTER TABLE body ADD COLUMN digest BLOB;",

        /* "inbox" and "INBOX" were two folders; what both have stays with its old name. */
        "INSERT INTO cursor SELECT account, 'INBOX', uidvalidity, uid FROM cursor"
        " WHERE folder <> 'INBOX' AND lower(folder) = 'inbox'"
        " ON CONFLICT DO UPDATE SET uid = max(uid, excluded.uid) WHERE uidvalidity = excluded.uidvalidity;"
        "DELETE FROM cursor WHERE folder <> 'INBOX' AND lower(folder) = 'inbox';"
        "UPDATE OR IGNORE received SET folder = 'INBOX' WHERE folder <> 'INBOX' AND lower(folder) = 'inbox';",

        "CREATE TABLE owner (name TEXT PRIMARY KEY, id TEXT NOT NULL, state INTEGER NOT NULL) STRICT, "
        "WITHOUT ROWID;",

        "CREATE TABLE missing ("
        " account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,"
        " uidl TEXT NOT NULL, size INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,"
        " tries INTEGER NOT NULL, state INTEGER NOT NULL, cause TEXT NOT NULL,"
        " PRIMARY KEY (account, folder, uidvalidity, uid, uidl)) STRICT, WITHOUT ROWID;",

        "CREATE INDEX received_file ON received (account, file) WHERE file IS NOT NULL;",

        /* What is known of a message for ever is parted from what is shown of it as long as its file is
           there. */
        "CREATE TABLE place ("
        " number INTEGER PRIMARY KEY, account TEXT NOT NULL, folder TEXT NOT NULL, UNIQUE (account, folder)) "
        "STRICT;"
        "INSERT INTO place (account, folder) SELECT DISTINCT account, folder FROM received;"

        "CREATE TABLE box (account TEXT PRIMARY KEY, messages INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE inbox ("
        " seq INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, id INTEGER NOT NULL, file TEXT NOT "
        "NULL,"
        " suffix TEXT NOT NULL, in_new INTEGER NOT NULL, received INTEGER NOT NULL, size INTEGER NOT NULL,"
        " folder TEXT NOT NULL, uid INTEGER NOT NULL, sender TEXT, subject TEXT, date TEXT, message_id TEXT) "
        "STRICT;"
        "INSERT INTO inbox (account, id, file, suffix, in_new, received, size, folder, uid, sender, subject, "
        "date,"
        " message_id) SELECT account, inbox_id(file), file, '', 1, min(received), size, folder, uid, sender, "
        "subject,"
        " date, message_id FROM received WHERE file IS NOT NULL GROUP BY account, file ORDER BY "
        "min(received), uid;"
        "CREATE INDEX inbox_id ON inbox (account, id);"
        "CREATE INDEX inbox_time ON inbox (account, received);"
        "INSERT INTO box SELECT account, count(*) FROM inbox GROUP BY account;"
        "CREATE TRIGGER inbox_more AFTER INSERT ON inbox BEGIN"
        " INSERT INTO box VALUES (new.account, 1) ON CONFLICT (account) DO UPDATE SET messages = messages + "
        "1; END;"
        "CREATE TRIGGER inbox_less AFTER DELETE ON inbox BEGIN"
        " UPDATE box SET messages = messages - 1 WHERE account = old.account; END;"

        "CREATE TABLE seen ("
        " place INTEGER NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL, uidl TEXT NOT NULL,"
        " generation INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0, told INTEGER NOT NULL, inbox INTEGER,"
        " size INTEGER NOT NULL, left_size INTEGER NOT NULL DEFAULT 0, digest BLOB,"
        " PRIMARY KEY (place, uidvalidity, uid, uidl, generation)) STRICT, WITHOUT ROWID;"
        "INSERT INTO seen SELECT p.number, r.uidvalidity, r.uid, r.uidl, r.generation, r.gone, r.told,"
        " CASE WHEN r.file IS NOT NULL THEN coalesce((SELECT i.seq FROM inbox i WHERE i.account = r.account"
        " AND i.id = inbox_id(r.file) AND i.file = r.file), 0) END, r.size, r.left_size, substr(r.digest, 1, "
        "16)"
        " FROM received r JOIN place p ON p.account = r.account AND p.folder = r.folder;"
        "CREATE INDEX seen_untold ON seen (place) WHERE told = 0;"
        "CREATE INDEX seen_left ON seen (place) WHERE left_size > 0;"
        "CREATE INDEX seen_digest ON seen (digest) WHERE digest IS NOT NULL;"
        "CREATE INDEX seen_gone ON seen (inbox) WHERE gone = 1;"
        "DROP TABLE received;",

        /* What was received before there was LF in the Maildir is made so by inbox_lf.c. */
        "ALTER TABLE inbox ADD COLUMN line_ends INTEGER NOT NULL DEFAULT 0;"
        "INSERT INTO meta (name, value) SELECT 'crlfTo', seq FROM inbox ORDER BY seq DESC LIMIT 1;",

        "CREATE TABLE slot ("
        " account TEXT NOT NULL, address TEXT NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, single "
        "INTEGER NOT NULL,"
        " PRIMARY KEY (account, address, seq)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE flood ("
        " account TEXT NOT NULL, address TEXT NOT NULL, next INTEGER NOT NULL,"
        " PRIMARY KEY (account, address)) STRICT, WITHOUT ROWID;",

        "ALTER TABLE inbox ADD COLUMN box TEXT NOT NULL DEFAULT '';"
        "CREATE INDEX inbox_box ON inbox (account, box);",

        "ALTER TABLE recipient ADD COLUMN original TEXT;",

        /* For the sake of a trigger SQLite copies each page that an INSERT changes: inbox_rows.c counts. */
        "DROP TRIGGER inbox_more;",

        "CREATE TABLE body_file (seq INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digests BLOB NOT NULL) "
        "STRICT;",

        /* Tags in place of SHA-256; what is there stays as it is. */
        "INSERT INTO meta (name, value) VALUES ('contentKey', randomblob(16));"
        "ALTER TABLE place ADD COLUMN sha256 INTEGER NOT NULL DEFAULT 0;"
        "UPDATE place SET sha256 = 1;",

        /* What a server's answer settles for hundreds of messages was a change of the row of each. */
        "CREATE TABLE untold ("
        " place INTEGER NOT NULL, uidvalidity INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT "
        "NULL,"
        " PRIMARY KEY (place, uidvalidity, first)) STRICT, WITHOUT ROWID;"
        "INSERT INTO untold SELECT place, uidvalidity, min(uid), max(uid) FROM (SELECT place, uidvalidity, "
        "uid,"
        " uid - row_number() OVER (PARTITION BY place, uidvalidity ORDER BY uid) AS run FROM"
        " (SELECT DISTINCT place, uidvalidity, uid FROM seen WHERE told = 0 AND uidl = ''))"
        " GROUP BY place, uidvalidity, run;"
        "DROP INDEX seen_untold;",
};
const size_t schema_step_count = count_of(schema_steps);
