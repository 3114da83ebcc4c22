/* SPDX-License-Identifier: MIT */
/* Sessions at simulated servers; see talk.h. */
#include "tests/simulator/talk.h"

#include "tests/simulator/witness.h"
#include "tests/simulator/world.h"

static const struct engine *engine_of(const struct talk *talk)
{
        static const struct engine *const engines[SPEECHES] = {
                [SPEAK_SMTP] = &smtp_engine, [SPEAK_IMAP] = &imap_engine, [SPEAK_POP3] = &pop3_engine,
                [SPEAK_LMTP] = &lmtp_engine, [SPEAK_EXEC] = &exec_engine,
        };

        return engines[talk->server->speech];
}

/* ---- out ---- */

/* Records that OpenSSL has made for the network. */
static void send_records(struct talk *talk)
{
        uint8_t piece[16384];
        BIO *wire = SSL_get_wbio(talk->ssl);

        for (int len; (len = BIO_read(wire, piece, sizeof piece)) > 0;)
                peer_send(talk->peer, piece, (size_t)len);
}

static void secure(struct talk *talk)
{
        talk->begin_tls = false;
        talk->ssl = SSL_new(talk->server->cert->context);
        SSL_set_bio(talk->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(talk->ssl);
}

static void close_it(struct talk *talk)
{
        if (talk->ssl) {
                (void)SSL_shutdown(talk->ssl);
                send_records(talk);
        }
        talk->deaf = talk->closed = true;
        peer_close(talk->peer);
}

static void flush(struct talk *talk)
{
        if (talk->deaf || talk->resting || (talk->ssl && !talk->secured))
                return;
        while (talk->out.len) {
                size_t len = talk->out.len < 16000 ? talk->out.len : 16000;
                if (!talk->ssl)
                        peer_send(talk->peer, buf_bytes(&talk->out), len);
                else if (SSL_write(talk->ssl, buf_bytes(&talk->out), (int)len) != (int)len)
                        break;
                buf_consume(&talk->out, len);
        }
        if (talk->ssl)
                send_records(talk);
        if (talk->ending)
                close_it(talk);
        else if (talk->begin_tls)
                secure(talk);
}

void talk_say_bytes(struct talk *talk, const void *bytes, size_t len)
{
        if (!talk->ending && buf_append(&talk->out, bytes, len) < 0)
                talk_reset(talk);
}

void talk_say(struct talk *talk, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        scoped(scoped_free) char *words = text_of_list(format, args);
        va_end(args);
        talk_say_bytes(talk, words, strlen(words));
        talk_say_bytes(talk, "\r\n", 2);
}

void talk_end(struct talk *talk)
{
        talk->ending = true;
}

void talk_reset(struct talk *talk)
{
        if (!talk->closed)
                peer_reset(talk->peer);
        talk->deaf = talk->closed = true;
}

void talk_start_tls(struct talk *talk)
{
        talk->begin_tls = true;
}

/* ---- in ---- */

char *talk_line(struct talk *talk)
{
        const uint8_t *bytes = buf_bytes(&talk->in);
        const uint8_t *end = talk->in.len ? memchr(bytes, '\n', talk->in.len) : NULL;

        if (!end)
                return NULL;
        size_t len = (size_t)(end - bytes);
        char *line = copy_bytes((const char *)bytes, len && bytes[len - 1] == '\r' ? len - 1 : len);
        buf_consume(&talk->in, len + 1);
        return line;
}

bool talk_text(struct talk *talk, struct buf *text, bool *over)
{
        const char *bytes = (const char *)buf_bytes(&talk->in);
        const char *end = talk->in.len ? memchr(bytes, '\n', talk->in.len) : NULL;

        if (!end)
                return false;
        size_t len = (size_t)(end - bytes) + 1;
        *over = len == 3 && memcmp(bytes, ".\r\n", 3) == 0;
        size_t dot = !*over && bytes[0] == '.';
        if (!*over && buf_append(text, bytes + dot, len - dot) < 0)
                talk_reset(talk);
        buf_consume(&talk->in, len);
        return true;
}

static bool may_eat(const struct talk *talk)
{
        return !talk->resting && !talk->deaf && !talk->ending && !talk->begin_tls &&
               (!talk->ssl || talk->secured);
}

/* A go-ahead for TLS is the last word in clear, and who has not shaken hands hears none. */
static void leave(struct talk *talk)
{
        if (talk->deaf || talk->ending)
                return;
        if (!engine_of(talk)->leave || talk->begin_tls || (talk->ssl && !talk->secured)) {
                talk_reset(talk);
                return;
        }
        engine_of(talk)->leave(talk);
        flush(talk);
}

static bool is_patient(const struct talk *talk)
{
        return world_is_honest() || !(talk->server->temper & 1u << ODD_IMPATIENT) ||
               !oddity_permille(ODD_IMPATIENT) || !engine_of(talk)->leave;
}

static void loses_patience(void *ctx)
{
        struct talk *talk = ctx;

        talk->patient = 0;
        if (!talk->deaf && !talk->ending && odd(talk, ODD_IMPATIENT))
                leave(talk);
}

/* Some wait for as long as they should (RFC 3501, 5.4), and some for seconds. */
static void wait_for_more(struct talk *talk)
{
        if (talk->patient)
                world_cancel(talk->patient);
        talk->patient = 0;
        if (!talk->deaf && !talk->ending && !is_patient(talk))
                talk->patient =
                        world_in(chance_between("odd.impatient", SECOND_MS,
                                                chance_permille("odd.impatient", 700) ? 12 * SECOND_MS
                                                                                      : 30 * MINUTE_MS),
                                 loses_patience, talk);
}

static void work(struct talk *talk)
{
        while (may_eat(talk) && engine_of(talk)->eat(talk))
                ;
        flush(talk);
        wait_for_more(talk);
}

static void rested(void *ctx)
{
        struct talk *talk = ctx;

        talk->resting = 0;
        work(talk);
}

void talk_rest(struct talk *talk, int64_t ms)
{
        if (!talk->resting)
                talk->resting = world_in(ms, rested, talk);
}

static void greet(struct talk *talk)
{
        if (!talk_is_odd(talk))
                engine_of(talk)->greet(talk);
}

static bool shake_hands(struct talk *talk)
{
        int done = SSL_do_handshake(talk->ssl);

        send_records(talk);
        if (done == 1) {
                talk->secured = true;
                if (!talk->server->starttls)
                        greet(talk);
        } else if (SSL_get_error(talk->ssl, done) != SSL_ERROR_WANT_READ) {
                talk_reset(talk);
        }
        return talk->secured && !talk->deaf;
}

/* What has come as records, read for the engine. */
static void read_records(struct talk *talk)
{
        uint8_t piece[16384];

        if (!talk->secured && !shake_hands(talk))
                return;
        for (int len; (len = SSL_read(talk->ssl, piece, sizeof piece)) > 0;)
                if (buf_append(&talk->in, piece, (size_t)len) < 0)
                        talk_reset(talk);
        send_records(talk);
}

static void on_heard(struct peer *peer, const void *bytes, size_t len)
{
        struct talk *talk = peer_ctx(peer);

        if (talk->deaf)
                return;
        if (talk->ssl) {
                (void)BIO_write(SSL_get_rbio(talk->ssl), bytes, (int)len);
                read_records(talk);
        } else if (buf_append(&talk->in, bytes, len) < 0) {
                talk_reset(talk);
        }
        work(talk);
}

static void on_accepted(struct peer *peer)
{
        struct talk *talk = world_alloc(sizeof *talk);

        talk->server = peer_server(peer);
        talk->peer = peer;
        talk->number = ++talk->server->sessions;
        peer_set_ctx(peer, talk);
        buf_init(&talk->in, TALK_MOST);
        buf_init(&talk->out, TALK_MOST);
        talk->state = world_alloc(engine_of(talk)->state_size);
        talk->next = talk->server->talks;
        talk->server->talks = talk;
        if (!talk->server->starttls)
                secure(talk);
        else
                greet(talk);
        flush(talk);
}

static void forget(struct talk *talk)
{
        struct talk **at = &talk->server->talks;

        while (*at != talk)
                at = &(*at)->next;
        *at = talk->next;
        if (talk->resting)
                world_cancel(talk->resting);
        if (talk->patient)
                world_cancel(talk->patient);
}

static void on_ended(struct peer *peer, enum peer_end how)
{
        struct talk *talk = peer_ctx(peer);

        if (how == PEER_HALF) { /* nothing more is asked */
                if (!talk->closed)
                        peer_close(peer);
                talk->deaf = talk->closed = true;
                return;
        }
        forget(talk);
        engine_of(talk)->gone(talk, how == PEER_KILLED);
        if (how == PEER_GONE) {
                SSL_free(talk->ssl);
                buf_free(&talk->in);
                buf_free(&talk->out);
        }
        world_free(talk->state);
        world_free(talk);
}

struct listening *talk_listen(struct mail_server *server)
{
        static const struct server_ops ops = { on_accepted, on_heard, on_ended };

        if (server->address[0] == '/')
                return server_listen_local(server->host, server->address, &ops, server);
        return server_listen(server->host, server->address, server->port, &ops, server);
}

void talks_reset(struct mail_server *server)
{
        for (struct talk *talk = server->talks; talk; talk = talk->next)
                talk_reset(talk);
}

void talks_leave(struct mail_server *server)
{
        for (struct talk *talk = server->talks; talk; talk = talk->next)
                leave(talk);
}

void talks_silence(struct mail_server *server)
{
        for (struct talk *talk = server->talks; talk; talk = talk->next) {
                if (!talk->closed)
                        peer_stall(talk->peer, -1);
                talk->deaf = true;
        }
}

void talks_news(struct mail_server *server, const struct mailbox *mailbox)
{
        for (struct talk *talk = server->talks; talk; talk = talk->next)
                if (talk->user == mailbox && !talk->deaf && !talk->ending) {
                        engine_of(talk)->news(talk);
                        flush(talk);
                }
}

/* ---- what it is like ---- */

bool odd(struct talk *talk, enum oddity what)
{
        unsigned permille = oddity_permille(what);

        if (world_is_honest() || !permille || !(talk->server->temper & 1u << what) ||
            !chance_permille("odd", permille))
                return false;
        history(peer_name(talk->peer), "is odd: %s", oddity_name(what));
        return true;
}

bool talk_is_odd(struct talk *talk)
{
        if (odd(talk, ODD_STALL)) {
                talk->deaf = true;
                return true;
        }
        if (odd(talk, ODD_RESET)) {
                talk_reset(talk);
                return true;
        }
        if (odd(talk, ODD_DROP)) {
                talk_end(talk);
                return true;
        }
        if (odd(talk, ODD_SLOW))
                talk_rest(talk, chance_between("odd.slow", 100, 20000));
        return false;
}

bool talk_is_too_many(struct talk *talk)
{
        unsigned others = 0;

        for (const struct talk *one = talk->server->talks; one; one = one->next)
                others += one != talk && !one->deaf && !one->ending;
        return others && odd(talk, ODD_CROWDED);
}

void talk_heard_secret(struct talk *talk, const char *what)
{
        if (talk->judged)
                return;
        talk->judged = true;
        witness_judges(talk->server, talk->secured ? talk->server->cert : NULL,
                       talk->ssl ? SSL_get_servername(talk->ssl, TLSEXT_NAMETYPE_host_name) : NULL, what);
}
