/* SPDX-License-Identifier: MIT */
/* A hostile SMTP or LMTP server: sign-in and three messages in flight. Every message comes back once, each
 * recipient with an outcome; nothing counts as sent without a reply of the server. */
#include "daemon/smtp/mail.h"
#include "daemon/smtp/session.h"
#include "fuzz.h"

enum { MAILS = 3, RECIPIENTS = 2 };

struct play {
        struct engine *engine;
        struct letter {
                struct smtp_mail mail;
                struct smtp_recipient recipients[RECIPIENTS];
                unsigned pieces;
                bool given, back;
        } letters[MAILS];
        bool lmtp;
};

static enum smtp_body body(struct smtp_mail *mail, const uint8_t **bytes, size_t *len)
{
        static const uint8_t text[] = "Subject: x\r\n\r\n.dot\r\nbody\r\n";
        struct letter *letter = container_of(mail, struct letter, mail);

        if (letter->pieces++ == 0) {
                *bytes = text;
                *len = sizeof text - 1;
                return BODY_BYTES;
        }
        return BODY_END;
}

static void rewind_body(struct smtp_mail *mail)
{
        struct letter *letter = container_of(mail, struct letter, mail);

        fuzz_must(!letter->back);
        letter->pieces = 0;
}

static void finished(struct smtp_mail *mail, const struct cause *session_cause)
{
        struct letter *letter = container_of(mail, struct letter, mail);

        (void)session_cause;
        fuzz_must(letter->given && !letter->back);
        letter->back = true;
        for (size_t i = 0; i < mail->recipient_count; i++)
                fuzz_must(letter->recipients[i].outcome != OUTCOME_SENT ||
                          letter->recipients[i].code / 100 == 2);
}

static void give(struct play *play)
{
        for (size_t i = 0; i < MAILS; i++) {
                struct letter *letter = &play->letters[i];
                if (letter->given || !smtp_mail_room(play->engine))
                        continue;
                letter->recipients[0] = (struct smtp_recipient){ .address = "a@example.net",
                                                                 .notify = i == 1 ? "FAILURE" : NULL };
                letter->recipients[1] = (struct smtp_recipient){ .address = "b@b\xc3\xbc.example" };
                letter->mail = (struct smtp_mail){
                        .from = "me@example.net",
                        .recipients = letter->recipients,
                        .recipient_count = play->lmtp ? 1 : RECIPIENTS - (i == 0),
                        .size = 26,
                        .eight_bit = i == 2,
                        .body = body,
                        .rewind = rewind_body,
                        .finished = finished,
                };
                letter->given = true;
                smtp_mail_send(play->engine, &letter->mail);
        }
}

static void look(struct play *play)
{
        static const struct engine_channel secure = { .tls = true };
        struct engine *engine = play->engine;

        for (int turns = 0; turns < 10; turns++) {
                buf_clear(&engine->out);
                if (engine->class->drained && !engine_is_over(engine))
                        engine->class->drained(engine);
                if (engine->state == ENGINE_WANTS_TLS)
                        engine->class->secured(engine, &secure);
                else if (engine->state == ENGINE_READY)
                        give(play);
                if (!engine->out.len && engine->state != ENGINE_WANTS_TLS)
                        return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!size)
                return 0;
        uint8_t how = data[0];
        struct play play = { .lmtp = (how & 4) != 0 };
        struct smtp_ways ways = { .chunking_works = how & 128 };
        struct smtp_config config = {
                .signin = { .user = how & 8 ? "u" : "",
                            .secret = "p",
                            .mechanism = how & 16 ? "login" : "auto",
                            .allow_plaintext = true,
                            .service = "smtp",
                            .host = "mail.example.net",
                            .port = 25 },
                .starttls = (how & 3) == 1,
                .hello = "station.example",
                .lmtp = play.lmtp,
                .ways = &ways,
        };
        struct engine_channel channel = { .tls = (how & 3) == 2 };
        size_t portion = how & 32 ? 1 : how & 64 ? 50 : SIZE_MAX;

        play.engine = smtp_session_new(&config);
        play.engine->class->start(play.engine, &channel);
        look(&play);
        for (size_t at = 1, len;
             at < size && play.engine->state != ENGINE_FAILED && play.engine->state != ENGINE_ENDED;
             at += len) {
                const uint8_t *lf = memchr(data + at, '\n', size - at);
                len = lf ? (size_t)(lf - data) + 1 - at : size - at;
                len = len < portion ? len : portion;
                uint8_t *bytes = memcpy(new_zeroed(len, 1), data + at, len);
                play.engine->class->received(play.engine, bytes, len);
                free(bytes);
                look(&play);
        }
        if (play.engine->state != ENGINE_FAILED && play.engine->state != ENGINE_ENDED) {
                struct cause gone = { .code = CAUSE_CLOSED };
                smtp_mail_lost(play.engine, &gone);
        }
        for (size_t i = 0; i < MAILS; i++)
                fuzz_must(play.letters[i].given == play.letters[i].back);
        play.engine->class->free(play.engine);
        return 0;
}
