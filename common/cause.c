/* SPDX-License-Identifier: MIT */
/* The one table of errors, and how a cause is filled in. */
#include "common/cause.h"

#include "common/limits.h"
#include "common/printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Of each code: its name, what it does to an account, the exit status of the tool, and a remedy for where the
 * place of failure knows none. Names are part of the contract (programs test for them, in replies, in the
 * journal and in status): a row may get other words, never another name. NAME stands for the account's:
 * cause_for_account(). */
static const struct cause_kind kinds[CAUSE_CODES] = {
        [CAUSE_NONE] = { "None", CLASS_NONE, 0, "" },
        [CAUSE_INVALID] = { "InvalidProperty", CLASS_NONE, 1, "correct the value and repeat the command" },
        [CAUSE_PORT_REQUIRED] = { "PortRequired", CLASS_NONE, 1, "say the port too, a number or auto" },
        [CAUSE_NOT_FOUND] = { "NotFound", CLASS_NONE, 1,
                              "see the names and ids there are: emailsecctl account, queue, challenge, "
                              "allowed or trust list" },
        [CAUSE_EXISTS] = { "Exists", CLASS_NONE, 1, "choose another name, or change the one that exists" },
        [CAUSE_AMBIGUOUS] = { "AmbiguousId", CLASS_NONE, 1, "give more characters of the id" },
        [CAUSE_PERMISSION] = { "PermissionDenied", CLASS_NONE, 4,
                               "run it as root or as a member of the group emailsec-admin "
                               "(emailsec for reading only)" },
        [CAUSE_STATE] = { "WrongState", CLASS_NONE, 1, "see how things are: emailsecctl status" },
        [CAUSE_BUSY] = { "Busy", CLASS_DOWN, 1, "try again in a moment" },
        [CAUSE_TOO_LARGE] = { "TooLarge", CLASS_NONE, 1,
                              "make it smaller, or raise the limit that the sentence names, if it names "
                              "one" },
        [CAUSE_QUEUE_FULL] = { "QueueFull", CLASS_NONE, 1,
                               "see why mail waits: emailsecctl status; then raise maxQueueSize "
                               "or delete what is not needed" },
        [CAUSE_FINGERPRINT] = { "FingerprintMismatch", CLASS_NONE, 1,
                                "look at the certificate again: emailsecctl challenge list" },
        [CAUSE_CALL] = { "InvalidCall", CLASS_NONE, 1,
                         "send a JSON object with the text method and the object parameters, then a NUL byte "
                         "(varlink.org)" },
        [CAUSE_NO_DAEMON] = { "NoDaemon", CLASS_NONE, 3, "is it running? systemctl status emailsecd" },
        [CAUSE_CANCELLED] = { "Cancelled", CLASS_NONE, 1, "repeat the command" },
        [CAUSE_STORAGE] = { "Storage", CLASS_FAULT, 1, "check the disk and the rights of the state folder" },
        [CAUSE_INTERNAL] = { "Internal", CLASS_DOWN, 1,
                             "please report it together with the journal: emailsecctl log" },
        [CAUSE_COMMAND] = { "Command", CLASS_FAULT, 1, "correct the property deliverTo" },
        [CAUSE_DISABLED] = { "Disabled", CLASS_NONE, 1, "emailsecctl account enable NAME" },
        [CAUSE_RESOLVE] = { "NameLookup", CLASS_DOWN, 1, "check the property hostname and the resolver" },
        [CAUSE_CONNECT] = { "Connect", CLASS_DOWN, 1,
                            "check hostname and port, the network, and firewalls on the way" },
        [CAUSE_TIMEOUT] = { "Timeout", CLASS_DOWN, 1,
                            "check that the server answers; connectionTimeout may be too short" },
        [CAUSE_CLOSED] = { "ConnectionLost", CLASS_DOWN, 1,
                           "nothing to do if it passes by itself; else see how far it comes: emailsecctl "
                           "account test NAME" },
        [CAUSE_SERVER_BUSY] = { "ServerBusy", CLASS_DOWN, 1,
                                "nothing to do if it passes by itself; else lower the property "
                                "maxConnections, or ask the "
                                "server's operator" },
        [CAUSE_PROTOCOL] = { "ProtocolViolation", CLASS_FAULT, 1,
                             "check that the properties hostname and port name a server of this transport: "
                             "emailsecctl account test NAME" },
        [CAUSE_NO_STARTTLS] = { "StartTlsMissing", CLASS_FAULT, 1,
                                "if the server has TLS from the first byte: emailsecctl account secure NAME "
                                "ssl; if it used to offer "
                                "STARTTLS, someone on the way may be taking it out" },
        [CAUSE_STARTTLS_REFUSED] = { "StartTlsRefused", CLASS_FAULT, 1,
                                     "ask the server's operator; if it has TLS from the first byte: "
                                     "emailsecctl account secure NAME ssl" },
        [CAUSE_INJECTION] = { "Injection", CLASS_FAULT, 1,
                              "someone on the way may be putting words into the server's mouth; if the "
                              "server has TLS from the first "
                              "byte: emailsecctl account secure NAME ssl" },
        [CAUSE_PREAUTH] = { "Preauth", CLASS_FAULT, 1,
                            "this looks like an attack; if the server has TLS from the first byte: "
                            "emailsecctl account secure NAME ssl" },
        [CAUSE_TLS] = { "TlsHandshake", CLASS_FAULT, 1,
                        "see what both sides said: emailsecctl account test NAME; then ask the server's "
                        "operator about its TLS settings" },
        [CAUSE_TLS_VERSION] = { "TlsVersion", CLASS_FAULT, 1,
                                "have the server's operator offer TLS 1.2 or newer; only where that cannot "
                                "be, lower the property minTlsVersion" },
        [CAUSE_TLS_MISMATCH] = { "TlsMismatch", CLASS_FAULT, 1,
                                 "check port against useSsl and useStartTls: "
                                 "emailsecctl account secure NAME ssl|starttls" },
        [CAUSE_CHALLENGE] = { "Challenge", CLASS_CHALLENGE, 1, "emailsecctl challenge list" },
        [CAUSE_REJECTED] = { "Rejected", CLASS_FAULT, 1,
                             "emailsecctl allowed list; approve or delete the entry if it was "
                             "rejected by mistake" },
        [CAUSE_CERTIFICATE] = { "Certificate", CLASS_FAULT, 1,
                                "the server's operator must replace the certificate" },
        [CAUSE_TRUST_STORE] = { "TrustStore", CLASS_FAULT, 1,
                                "repair or remove the file named; it is read again every few seconds" },
        [CAUSE_AUTHENTICATION] = { "AuthenticationRefused", CLASS_FAULT, 1,
                                   "check the property account, then: emailsecctl account password NAME" },
        [CAUSE_AUTH_TEMPORARY] = { "AuthenticationUnavailable", CLASS_DOWN, 1,
                                   "nothing to do if it passes by itself" },
        [CAUSE_NO_MECHANISM] = { "NoMechanism", CLASS_FAULT, 1,
                                 "see what the server offers: emailsecctl account test NAME; then "
                                 "emailsecctl account set NAME authentication=..." },
        [CAUSE_PLAINTEXT_LOGIN] = { "PlaintextLogin", CLASS_FAULT, 1,
                                    "secure the account: emailsecctl account secure NAME ssl|starttls" },
        [CAUSE_ACCOUNT_REFUSED] = { "AccountRefused", CLASS_DOWN, 1,
                                    "read the server's words: a limit passes by itself, a lock is lifted by "
                                    "the provider; "
                                    "mail waits and is tried again" },
        [CAUSE_NAME_REFUSED] = { "NameRefused", CLASS_FAULT, 1,
                                 "set Hostname= in emailsecd.conf to this machine's full name, one that the "
                                 "server accepts, "
                                 "and restart emailsecd" },
        [CAUSE_SERVER_SIGNATURE] = { "ServerSignature", CLASS_FAULT, 1,
                                     "this is what an attack looks like; check who answers there" },
        [CAUSE_SECRET] = { "Secret", CLASS_FAULT, 1, "emailsecctl account password NAME" },
        [CAUSE_DEFERRED] = { "Deferred", CLASS_NONE, 1, "nothing to do if it passes by itself" },
        [CAUSE_REFUSED] = { "Refused", CLASS_NONE, 1, "read the server's reply: emailsecctl queue show ID" },
        [CAUSE_UNSENDABLE] = { "Unsendable", CLASS_NONE, 1,
                               "send it in another form (smaller, addresses in ASCII), or by another "
                               "account" },
        [CAUSE_EXPIRED] = { "Expired", CLASS_NONE, 1,
                            "mend what kept it (emailsecctl queue show ID), then: emailsecctl queue retry "
                            "ID" },
        [CAUSE_MAILBOX] = { "Mailbox", CLASS_FAULT, 1,
                            "see which folders there are: emailsecctl account folders NAME; then correct the "
                            "property folder" },
};

const struct cause cause_none = { 0 };

/* A server that is down is so for all its accounts: what is the same is kept once. */
struct kept_cause {
        struct cause cause; /* first: what is pointed to */
        size_t users;
};

enum { RECENT = 16 };
static struct kept_cause *recent[RECENT]; /* by the hash of the sentence; for as long as they have users */

static struct kept_cause **place_of(const struct cause *cause)
{
        return &recent[text_hash(cause->text) % RECENT];
}

static const struct cause *hold(const struct cause *cause)
{
        struct kept_cause **place = place_of(cause), *kept = *place;

        if (!kept || memcmp(&kept->cause, cause, sizeof *cause) != 0) {
                kept = new_object(struct kept_cause);
                memcpy(&kept->cause, cause, sizeof *cause);
                *place = kept;
        }
        kept->users++;
        return &kept->cause;
}

static void let_go(const struct cause *cause)
{
        struct kept_cause *kept = (struct kept_cause *)(uintptr_t)cause, **place = place_of(cause);

        if (--kept->users)
                return;
        if (*place == kept)
                *place = NULL;
        free(kept);
}

/* Nearly all that keep a cause have none: these share one, and memory is taken for a fault only. */
void cause_keep(const struct cause **kept, const struct cause *cause)
{
        const struct cause *before = *kept;

        *kept = cause_happened(cause) ? hold(cause) : &cause_none;
        if (before && before != &cause_none)
                let_go(before);
}

const struct cause_kind *cause_kind(enum cause_code code)
{
        return &kinds[(unsigned)code < CAUSE_CODES ? code : CAUSE_INTERNAL];
}

enum cause_code cause_named(const char *name)
{
        for (size_t i = 0; i < count_of(kinds); i++)
                if (same_text(kinds[i].name, name))
                        return (enum cause_code)i;
        return CAUSE_NONE;
}

/* Made printable behind formatting, in this one place: texts of servers and files come in by %s, and their
 * control bytes must reach neither a terminal nor the journal. */
printf_like(3, 0) static void write_words(char *to, size_t size, const char *format, va_list args)
{
        char *words = NULL;

        if (vasprintf(&words, format, args) < 0)
                abort();
        printable_copy(to, size, words, strlen(words));
        free(words);
}

/* The words are made before anything is cleared: they may quote the cause's own text. */
printf_like(4, 0) static int fill(struct cause *cause, enum cause_code code, const char *property,
                                  const char *format, va_list args)
{
        struct cause made = { .code = code };

        printable_copy(made.property, sizeof made.property, property, strlen(property));
        write_words(made.text, sizeof made.text, format, args);
        *cause = made;
        return -1;
}

int cause_set(struct cause *cause, enum cause_code code, const char *format, ...)
{
        if (!cause)
                return -1;
        va_list args;
        va_start(args, format);
        fill(cause, code, "", format, args);
        va_end(args);
        return -1;
}

int cause_about(struct cause *cause, enum cause_code code, const char *property, const char *format, ...)
{
        if (!cause)
                return -1;
        va_list args;
        va_start(args, format);
        fill(cause, code, property, format, args);
        va_end(args);
        return -1;
}

int cause_missing(struct cause *cause, enum missing_thing what, const char *property, const char *name)
{
        static const struct {
                const char *words, *behind, *list;
        } kinds_missing[MISSING_KINDS] = {
                [MISSING_ACCOUNT] = { "there is no account \"", "\"", "emailsecctl account list" },
                [MISSING_OUTGOING] = { "there is no outgoing account \"", "\"", "emailsecctl account list" },
                [MISSING_MESSAGE] = { "there is no message ", "",
                                      "emailsecctl queue list; those that are done with: emailsecctl queue "
                                      "list --state sent --state failed" },
                [MISSING_ENTRY] = { "there is no entry \"", "\" in the Allowed Hosts",
                                    "emailsecctl allowed list" },
                [MISSING_ANCHOR] = { "no trust store holds a certificate that begins with ", "",
                                     "emailsecctl trust list; trust list --system" },
                [MISSING_KEY] = { "there is no client certificate \"", "\"", "emailsecctl trust key list" },
                [MISSING_SUBSCRIBER] = { "there is no subscriber \"", "\"", "emailsecctl subscriber list" },
        };

        /* the name is what somebody sent: cut, it leaves the sentence its end */
        (void)cause_about(cause, CAUSE_NOT_FOUND, property, "%s%.80s%s", kinds_missing[what].words, name,
                          kinds_missing[what].behind);
        cause_remedy(cause, "%s", kinds_missing[what].list);
        return -1;
}

void cause_remedy(struct cause *cause, const char *format, ...)
{
        if (!cause)
                return;
        va_list args;
        va_start(args, format);
        write_words(cause->remedy, sizeof cause->remedy, format, args);
        va_end(args);
}

int cause_errno(struct cause *cause, int error, const char *format, ...)
{
        if (!cause)
                return -1;
        char what[400]; /* leaves room for the system's words */
        va_list args;
        va_start(args, format);
        write_words(what, sizeof what, format, args);
        va_end(args);
        /* what the system said decides who can mend it: the remedy of the code alone would send all to the
         * disk */
        cause_set(cause, CAUSE_STORAGE, "%s: %s", what, strerror(error));
        cause->no_room = error == ENOSPC || error == EDQUOT;
        if (cause->no_room)
                cause_remedy(cause, "make room on the disk; nothing that was accepted is lost");
        else if (error == EROFS)
                cause_remedy(cause, "mount the disk that it is on writable again");
        else if (error == ENOENT || error == ENOTDIR)
                cause_remedy(cause, "see whether it is there, and the folders above it");
        else if (error == EACCES || error == EPERM)
                cause_remedy(cause, "see its rights and those of the folders above it: namei -l PATH");
        else if (error == EIO)
                cause_remedy(cause, "look at the disk that it is on: dmesg, smartctl");
        else if (error == EMFILE || error == ENFILE || error == ENOMEM)
                cause_remedy(cause, "this machine has no more of it at the moment: close other programs, or "
                                    "raise the limit");
        return -1;
}

/* The front is what it is about: where both do not fit, the end is cut. */
void cause_prefix(struct cause *cause, const char *format, ...)
{
        if (!cause)
                return;
        char words[256];
        va_list args;
        va_start(args, format);
        write_words(words, sizeof words, format, args);
        va_end(args);
        char *all = text_of("%s%s", words, cause->text);
        printable_copy(cause->text, sizeof cause->text, all, strlen(all));
        free(all);
}

const char *cause_remedy_of(const struct cause *cause)
{
        return cause->remedy[0] ? cause->remedy : cause_kind(cause->code)->remedy;
}

/* So that a remedy can be copied and run as it stands. */
void cause_for_account(struct cause *cause, const char *name)
{
        static const char word[] = " NAME";
        scoped(scoped_free) char *general = copy_text(cause_remedy_of(cause));
        char *all = copy_text("");
        const char *from = general;

        for (const char *at; name[0] && (at = strstr(from, word));) {
                const char *rest = at + strlen(word);
                bool whole = !*rest || *rest == ' ' || *rest == ';' || *rest == ',';
                char *more = text_of("%s%.*s %s", all, (int)(at - from), from, whole ? name : word + 1);
                free(all);
                all = more;
                from = rest;
        }
        cause_remedy(cause, "%s%s", all, from);
        free(all);
}

void causes_free(struct causes *causes)
{
        free(causes->items);
        *causes = (struct causes){ 0 };
}

struct cause *causes_add(struct causes *causes)
{
        /* past the limit the last one is written over: callers need no check, and a peer's input no memory */
        if (causes->count < LIMIT_PROBLEMS) {
                causes->items = new_resized(causes->items, causes->count + 1, sizeof *causes->items);
                causes->count++;
        }
        struct cause *last = &causes->items[causes->count - 1];
        *last = (struct cause){ 0 };
        return last;
}
