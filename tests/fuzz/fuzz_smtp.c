/* SPDX-License-Identifier: MIT */
/* A hostile SMTP or LMTP server: sign-in and three messages in flight. Every message comes back once, each
 * recipient with an outcome; nothing counts as sent without a reply of the server. */
#include "daemon/smtp/mail.h"
#include "daemon/smtp/session.h"
#include "fuzz.h"

enum { MAILS = 3, RECIPIENTS = 2 };

struct play {
        struct chat *chat;
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
                if (letter->given || !smtp_mail_room(play->chat))
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
                smtp_mail_send(play->chat, &letter->mail);
        }
}

static void look(struct play *play)
{
        static const struct chat_channel secure = { .tls = true };
        struct chat *chat = play->chat;

        for (int turns = 0; turns < 10; turns++) {
                buf_clear(&chat->out);
                if (chat->class->drained && !chat_is_over(chat))
                        chat->class->drained(chat);
                if (chat->state == CHAT_WANTS_TLS)
                        chat->class->secured(chat, &secure);
                else if (chat->state == CHAT_READY)
                        give(play);
                if (!chat->out.len && chat->state != CHAT_WANTS_TLS)
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
        struct chat_channel channel = { .tls = (how & 3) == 2 };
        size_t portion = how & 32 ? 1 : how & 64 ? 50 : SIZE_MAX;

        play.chat = smtp_session_new(&config);
        play.chat->class->start(play.chat, &channel);
        look(&play);
        for (size_t at = 1, len;
             at < size && play.chat->state != CHAT_FAILED && play.chat->state != CHAT_ENDED; at += len) {
                const uint8_t *lf = memchr(data + at, '\n', size - at);
                len = lf ? (size_t)(lf - data) + 1 - at : size - at;
                len = len < portion ? len : portion;
                uint8_t *bytes = memcpy(new_zeroed(len, 1), data + at, len);
                play.chat->class->received(play.chat, bytes, len);
                free(bytes);
                look(&play);
        }
        if (play.chat->state != CHAT_FAILED && play.chat->state != CHAT_ENDED) {
                struct cause gone = { .code = CAUSE_CLOSED };
                smtp_mail_lost(play.chat, &gone);
        }
        for (size_t i = 0; i < MAILS; i++)
                fuzz_must(play.letters[i].given == play.letters[i].back);
        play.chat->class->free(play.chat);
        return 0;
}
