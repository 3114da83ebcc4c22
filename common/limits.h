/* SPDX-License-Identifier: MIT */
/*
 * Every bound on what a peer, a client or a file can make us hold, by name
 * (security rule 21). Bytes unless the name says otherwise.
 */
#pragma once

#define KIB 1024
#define MIB (1024 * KIB)

/* wire: what a mail server may send */
#define LIMIT_LINE             (64 * KIB)  /* one protocol line */
#define LIMIT_REPLY            (1 * MIB)   /* one multi-line reply, or one response with its literals */
#define LIMIT_REPLY_LINES      512         /* lines in one SMTP reply */
#define LIMIT_CAPABILITIES     256         /* words in a capability list */
#define LIMIT_SASL_MESSAGE     12288       /* RFC 4954 section 4: base64 characters in one challenge */
#define LIMIT_SASL_ROUNDS      16          /* challenges in one exchange */
#define LIMIT_SCRAM_ITERATIONS 1000000     /* a server must not choose how long we compute (S25) */
#define LIMIT_HEAD             (16 * KIB)  /* of the header of a message that is too large to fetch */
#define LIMIT_UNTAGGED_IDLE    100000      /* untagged responses without progress */
#define LIMIT_UIDL             70          /* RFC 1939 section 7: characters */
#define LIMIT_LISTED           4000000     /* messages in one mailbox listing */
#define LIMIT_LISTINGS         (64 * MIB)  /* what all listings hold at once; the longest fits */
#define LIMIT_NESTING          32          /* JSON values in one another */
#define LIMIT_MISSING          10000       /* of one folder: what a server does not hand out */
#define LIMIT_HALVES           32          /* large messages of one account that came in part */
#define LIMIT_OUTPUT           (256 * KIB) /* bytes waiting to be sent on one connection, engine side */
#define LIMIT_ADDRESSES        32          /* addresses tried for one host name */

#define WIRE_PER_WAKE    (32 * KIB) /* read from one connection inside TLS before the loop turns, */
#define RECORDS_PER_WAKE 16         /* or so many TLS records: a small one may cost most */

/* tls */
#define LIMIT_CONTROL_RECORDS \
        1000 /* TLS records on end without application data, once the handshake is done */
#define LIMIT_HANDSHAKE_RECORDS 16384      /* TLS records of one handshake: a byte in each still fits */
#define LIMIT_CHAIN             16         /* certificates a server may present */
#define LIMIT_CERTIFICATE       (64 * KIB) /* DER of one certificate */
#define LIMIT_PENDING_PER_HOST  8          /* security rule 13: challenges for one host and port */
#define LIMIT_PENDING           512        /* challenges in all */
#define LIMIT_ALLOWED_FILE      (64 * MIB)
#define LIMIT_HISTORY           16        /* decisions kept with an entry of the Allowed Hosts */
#define LIMIT_TRUST_IMPORT      (4 * MIB) /* one import: PEM, DER or PKCS#7 */
#define LIMIT_TRUST_FILE        (16 * MIB)

/* control socket; what one user may have of it, and all of them, is in daemon/control/budget.c */
#define LIMIT_FRAME         (16 * MIB) /* one Varlink message */
#define LIMIT_CALL          (64 * KIB) /* a call, unless the table of methods gives it more */
#define LIMIT_CALL_VALUES   4096       /* JSON values in it, likewise */
#define LIMIT_CLOSERS       16         /* files of clients whose close hangs, */
#define LIMIT_WAITING_FILES 4096       /* and those that wait for the end of one of them */
#define LIMIT_FRAME_FDS     4          /* file descriptors with one message */
#define LIMIT_PROBLEMS      64         /* bad properties told of one request */
#define LIMIT_USERNAMES     512 /* names of local users being looked up; who comes after them goes without */
#define LIMIT_CLIENT_OUTPUT \
        (64 * MIB) /* one reply; a client has one that it has not read, or few small ones */
#define LIMIT_CLIENT_UNREAD \
        (256 * KIB) /* replies not read by a client, with which no more of its calls are taken */
#define LIMIT_MONITOR_BACKLOG (4 * MIB) /* parts of a `more` stream not read; then the client is dropped */

#define LIMIT_QUEUE_PAGE 1000  /* messages in one reply of ListQueue */
#define LIMIT_INBOX_PAGE 10000 /* and of ListInbox */

/* submission listener: clients at one time */
#define LIMIT_SMTP_NETWORK    1000 /* from the network, */
#define LIMIT_SMTP_OF_ADDRESS 64   /* and of one address of it, or one /64 of IPv6 */
#define LIMIT_SMTP_LOCAL      1000 /* of this machine's users, */
#define LIMIT_SMTP_OF_USER    250  /* and of one of them; */
#define LIMIT_SMTP_IN_CHARGE  2000 /* of root and the daemon's user */
#define LIMIT_DEVICES         5000 /* that may sign in there */
#define LIMIT_SMTP_WAIT \
        300 /* seconds for a command (RFC 5321 section 4.5.3.2.7), or the next bytes of a message, */
#define LIMIT_SMTP_FIRST    60  /* and for one of the network that has not signed in, */
#define LIMIT_SMTP_STRANGER 120 /* and in all, of one of the network that does not sign in */
#define LIMIT_SMTP_LEAST_RATE \
        256 /* bytes a second that a message comes at, beyond the first five minutes \
             */

#define LIMIT_SUBSCRIBERS          32    /* named subscribers of received mail */
#define LIMIT_SUBSCRIBERS_OF_UID   12    /* of one user who is not in charge */
#define LIMIT_SUBSCRIBERS_OF_USERS 24    /* of all of these; the others are for the people in charge */
#define LIMIT_OFFERED              10000 /* events kept for one of them that does not come */
#define LIMIT_OFFERED_DAYS         30    /* and for how long */
#define LIMIT_UNACKNOWLEDGED       100   /* unacknowledged events in flight to one of them */

/* mail */
#define LIMIT_RECIPIENTS        1000      /* of one submission */
#define LIMIT_ADDRESS           320       /* RFC 5321 4.5.3.1: 64 + 1 + 255 */
#define LIMIT_LOCAL_NAME        64        /* RFC 5321 4.5.3.1.1: of a name without a domain */
#define LIMIT_ALIAS_FILE        (1 * MIB) /* /etc/aliases */
#define LIMIT_ALIAS_DEPTH       10        /* aliases of aliases */
#define LIMIT_HEADER            (1 * MIB) /* header section of a submission */
#define LIMIT_SMTP_LINE         998       /* RFC 5322 2.1.1: bytes before CRLF */
#define LIMIT_IDEMPOTENCY_KEY   128
#define LIMIT_INTAKES           32          /* submissions being read at once, */
#define LIMIT_INTAKES_IN_CHARGE 4           /* of these only for root, the daemon's user and AdminGroup; */
#define LIMIT_INTAKES_OF_USER   2           /* and of each user */
#define LIMIT_INTAKE_SECONDS    60          /* a submission that could not be read by then is refused */
#define LIMIT_INTAKE_MEMORY     (256 * KIB) /* what is more of a submission is written to its file */

/* station */
#define LIMIT_ACCOUNTS         20000
#define LIMIT_ACCOUNT_NAME     64
#define LIMIT_ACCOUNT_FILE     (256 * KIB)
#define LIMIT_SECRET           (64 * KIB)
#define LIMIT_BACKUP_FILES     (256 * MIB) /* files of a backup besides the database and received mail */
#define LIMIT_BACKUP_SUMS      (512 * MIB) /* its list of digests */
#define LIMIT_BOXES            1000        /* folders of one Maildir */
#define LIMIT_DELIVER_COMMANDS 8           /* of deliverTo=exec: at once, of all accounts */
#define LIMIT_PROPERTY_TEXT    4096
#define LIMIT_FOLDERS_LISTED   20000      /* told by one server */
#define LIMIT_FOLDERS          1000       /* of one account */
#define LIMIT_FOLDERS_TEXT     (64 * KIB) /* the property folder */
#define LIMIT_SETTINGS_LINE    4096
