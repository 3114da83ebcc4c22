/* SPDX-License-Identifier: MIT */
/*
 * Devices that sign in: PLAIN, LOGIN and SCRAM-SHA-256. A password that came whole is compared on a thread,
 * for hashing takes milliseconds; the answer to a wrong one is kept back, longer each time, and after some
 * the session ends. Nobody is told whether there is such a device.
 */
#include "common/limits.h"
#include "daemon/accounts/devices.h"
#include "daemon/journal.h"
#include "daemon/smtpd/client_parts.h"
#include "daemon/smtpd/slots.h"

/* More checks than that are put off (454): strangers cannot fill memory with passwords to be hashed. */
enum { THREADS = 2, FAILURES_OF_SESSION = 3, CHECKS_UNDER_WAY = 64 };

enum signin_step { STEP_USER, STEP_PASSWORD, STEP_FIRST, STEP_FINAL, STEP_THROUGH };

struct smtpd_client_signin {
        enum signin_step step;
        char user[SCRAM_USER + 1];
        /* False: the keys are invented ones, and the exchange goes through the same steps and takes as
         * long. */
        bool known;
        struct scram_keys keys;
        struct scram_server *scram;
        struct timer *delay;
        unsigned failures; /* of this session */
};

/* The thread's until it is done: a copy of all it needs, since the client may go meanwhile. */
struct check {
        struct job job;
        handle_id client;
        struct scram_keys keys;
        char *password;
        bool fits;
};

static struct workers *threads;
static unsigned under_way;

static void forget_threads(unused_arg void *ctx)
{
        workers_free(take(threads)); /* each check takes milliseconds */
        under_way = 0;
}

/* NULL while there is no device: then AUTH is not offered. */
const char *smtpd_client_mechanisms(void)
{
        return devices_any() ? "SCRAM-SHA-256 PLAIN LOGIN" : NULL;
}

void smtpd_client_signin_free(struct smtpd_client *v)
{
        struct smtpd_client_signin *s = take(v->signin);

        if (!s)
                return;
        scram_server_free(s->scram);
        timer_free(s->delay);
        explicit_bzero(&s->keys, sizeof s->keys);
        free(s);
}

/* ---- outcome ---- */

/* The same words for every reason (RFC 4954, 6). */
static void tell_refused(void *ctx)
{
        struct smtpd_client *v = ctx;
        struct esmtp_answer no = { .code = 535,
                                   .enhanced = "5.7.8",
                                   .text = "the name or the password is wrong",
                                   .end = v->signin->failures >= FAILURES_OF_SESSION };

        esmtp_answer(v->esmtp, &no);
        smtpd_client_resume(v);
}

/* Only the answer is late; meanwhile nothing more is read of this client. */
static void refuse(struct smtpd_client *v)
{
        struct smtpd_client_signin *s = v->signin;

        submission_counts.refused[REFUSED_SIGNIN]++;
        s->failures++;
        notices_tell("SMTP client %s could not sign in as %s", v->who, s->user[0] ? s->user : "anybody");
        if (!s->delay)
                s->delay = timer_new(tell_refused, v);
        timer_set(s->delay, smtpd_slot_failed(&v->slot));
        v->waiting = true;
}

static void accept_device(struct smtpd_client *v)
{
        static const struct esmtp_answer yes = { 0 };
        const char *name = v->signin->user;

        log_about(NULL, LOG_INFO, NULL, "SMTP client %s has signed in as device %s", v->who, name);
        v->device = copy_text(name);
        device_signed_in(name);
        (void)snprintf(v->who, sizeof v->who, "device %s", name);
        esmtp_answer(v->esmtp, &yes);
}

/* The device may have gone, or got another password, meanwhile. */
static void decide(struct smtpd_client *v, bool proven)
{
        const struct device *device = device_named(v->signin->user);
        bool same = device && device->has_keys &&
                    memcmp(&device->keys, &v->signin->keys, sizeof device->keys) == 0;

        if (proven && v->signin->known && same)
                accept_device(v);
        else
                refuse(v);
}

/* ---- a password that came whole ---- */

static void compare(struct job *job)
{
        struct check *check = container_of(job, struct check, job);

        check->fits = scram_keys_fit(&check->keys, check->password);
}

/* On the loop. `waiting` is set again by a refusal, whose timer resumes then. */
static void compared(struct job *job)
{
        struct check *check = container_of(job, struct check, job);
        struct smtpd_client *v = handle_object(check->client);

        under_way--;
        if (v && !v->gone && v->signin) {
                v->waiting = false;
                decide(v, check->fits);
                if (!v->waiting)
                        smtpd_client_resume(v);
        }
        explicit_bzero(&check->keys, sizeof check->keys);
        free_secret(check->password);
        free(check);
}

/* Invented keys follow from the name, so that the salt of a device that does not exist stays the same until
 * a restart. */
static void find_user(struct smtpd_client_signin *s, const char *name, size_t len)
{
        (void)snprintf(s->user, sizeof s->user, "%.*s", len <= SCRAM_USER ? (int)len : 0, name);
        const struct device *device = device_named(s->user);
        s->known = device && device->has_keys;
        if (s->known)
                s->keys = device->keys;
        else
                scram_keys_invent(s->user, &s->keys);
}

static void check_later(struct smtpd_client *v, const char *password, size_t len)
{
        struct check *check;

        if (under_way >= CHECKS_UNDER_WAY) {
                esmtp_answer(v->esmtp, &(struct esmtp_answer){ .code = 454,
                                                               .enhanced = "4.7.0",
                                                               .text = "too many sign in just now" });
                return;
        }
        if (!threads) {
                threads = workers_new("smtp-signin", THREADS);
                loop_on_close(forget_threads, NULL);
        }
        check = new_object(struct check);
        *check = (struct check){ .job = { .work = compare, .done = compared },
                                 .client = v->self,
                                 .keys = v->signin->keys,
                                 .password = copy_bytes(password, len) };
        under_way++;
        v->waiting = true;
        workers_run(threads, &check->job);
}

/* ---- mechanisms ---- */

static void cannot_be(struct smtpd_client *v)
{
        esmtp_answer(v->esmtp, &(struct esmtp_answer){ .code = 501,
                                                       .enhanced = "5.5.2",
                                                       .text = "this is no message of the mechanism" });
}

/* RFC 4616: whom to act as, who it is, the password, with NULs between. */
static void plain(struct smtpd_client *v, const struct esmtp_signin *said)
{
        const char *bytes = (const char *)said->bytes, *end = bytes + said->len;
        const char *user = said->len ? memchr(bytes, '\0', said->len) : NULL;
        const char *password = user ? memchr(user + 1, '\0', (size_t)(end - user - 1)) : NULL;

        if (!password || memchr(password + 1, '\0', (size_t)(end - password - 1))) {
                cannot_be(v);
                return;
        }
        size_t acting = (size_t)(user - bytes), len = (size_t)(password - user - 1);
        if (acting && (acting != len || memcmp(bytes, user + 1, len) != 0)) {
                find_user(v->signin, "", 0); /* nobody acts as somebody else */
                refuse(v);
                return;
        }
        find_user(v->signin, user + 1, len);
        check_later(v, password + 1, (size_t)(end - password - 1));
}

static void login(struct smtpd_client *v, const struct esmtp_signin *said)
{
        struct smtpd_client_signin *s = v->signin;
        const char *bytes = (const char *)said->bytes;

        if (memchr(bytes, '\0', said->len)) {
                cannot_be(v);
        } else if (s->step == STEP_USER) {
                find_user(s, bytes, said->len);
                s->step = STEP_PASSWORD;
                esmtp_challenge(v->esmtp, "Password:", 9);
        } else {
                check_later(v, bytes, said->len);
        }
}

static void scram_first(struct smtpd_client *v, const struct esmtp_signin *said)
{
        struct smtpd_client_signin *s = v->signin;

        s->scram = scram_server_new(said->bytes, said->len);
        if (!s->scram) {
                cannot_be(v);
                return;
        }
        const char *user = scram_server_user(s->scram);
        find_user(s, user, strlen(user));
        const char *challenge = scram_server_challenge(s->scram, &s->keys);
        s->step = STEP_FINAL;
        esmtp_challenge(v->esmtp, challenge, strlen(challenge));
}

/* RFC 5802, 5: the server's proof goes as a challenge, which the client acknowledges with an empty message,
 * since 235 carries no data (RFC 4954, 4). */
static void scram(struct smtpd_client *v, const struct esmtp_signin *said)
{
        struct smtpd_client_signin *s = v->signin;
        const char *last = NULL;

        if (s->step == STEP_FIRST) {
                scram_first(v, said);
        } else if (s->step == STEP_THROUGH) { /* an empty message */
                decide(v, said->len == 0);
        } else if (scram_server_proven(s->scram, said->bytes, said->len, &last) && s->known) {
                s->step = STEP_THROUGH;
                esmtp_challenge(v->esmtp, last, strlen(last));
        } else {
                decide(v, false);
        }
}

static const struct mechanism {
        const char *name, *prompt;
        enum signin_step first;
        void (*heard)(struct smtpd_client *v, const struct esmtp_signin *said);
} mechanisms[] = {
        { "PLAIN", "", STEP_PASSWORD, plain },
        { "LOGIN", "Username:", STEP_USER, login },
        { "SCRAM-SHA-256", "", STEP_FIRST, scram },
};

/* The failures of the session are kept from one try to the next. */
static void begin(struct smtpd_client *v, enum signin_step first)
{
        if (!v->signin)
                v->signin = new_object(struct smtpd_client_signin);
        scram_server_free(take(v->signin->scram));
        v->signin->step = first;
        v->signin->user[0] = '\0';
        v->signin->known = false;
}

/* For each message of an exchange. The bar stands before any hashing: it is what bounds a guesser's use of
 * the processor. */
void smtpd_client_on_signin(struct smtpd_client *v)
{
        static const struct esmtp_answer barred = {
                .code = 454,
                .enhanced = "4.7.0",
                .end = true,
                .text = "too many passwords from here were wrong: try again in ten minutes"
        };
        const struct mechanism *mechanism = mechanisms;
        struct esmtp_signin said;

        esmtp_signin(v->esmtp, &said);
        while (strcmp(mechanism->name, said.mechanism) != 0)
                mechanism++; /* only these are offered */
        if (said.first && smtpd_slot_is_barred(&v->slot)) {
                smtpd_client_refuse(v, REFUSED_SIGNIN, &barred);
                return;
        }
        if (said.first)
                begin(v, mechanism->first);
        if (said.bytes)
                mechanism->heard(v, &said);
        else
                esmtp_challenge(v->esmtp, mechanism->prompt, strlen(mechanism->prompt));
}
