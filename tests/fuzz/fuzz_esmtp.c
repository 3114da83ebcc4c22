/* SPDX-License-Identifier: MIT */
/* A hostile client of the submission listener: it gets no message accepted but between a wish and its answer,
 * no bytes of one that was refused, and the same answers whatever the portions; each reply is one legal line
 * or several. */
#include "common/esmtp/server.h"
#include "fuzz.h"

struct play {
        struct esmtp *esmtp;
        struct buf mail, all;
        bool room, over;
        unsigned commits;
};

static void on_body(void *ctx, const uint8_t *bytes, size_t len)
{
        struct play *play = ctx;

        fuzz_must(play->room && len > 0);
        fuzz_append(&play->mail, bytes, len);
}

static void on_forget(void *ctx)
{
        struct play *play = ctx;

        buf_clear(&play->mail);
        play->room = false;
}

static void take_replies(struct play *play)
{
        struct buf *out = esmtp_out(play->esmtp);
        const char *at = (const char *)buf_bytes(out), *end = at + out->len;

        for (const char *lf; out->len && at < end; at = lf + 1) {
                lf = memchr(at, '\n', (size_t)(end - at));
                fuzz_must(lf && lf - at >= 5 && lf - at < 512 && lf[-1] == '\r' && at[0] >= '2' &&
                          at[0] <= '5');
                for (const char *c = at; c < lf - 1; c++)
                        fuzz_must(*c >= ' ' && *c < 127);
        }
        fuzz_append(&play->all, buf_bytes(out), out->len);
        buf_clear(out);
}

/* A message that is whole: its line ends, and its size. */
static void look_at_mail(const struct play *play)
{
        const struct esmtp_envelope *envelope = esmtp_envelope(play->esmtp);
        const char *bytes = (const char *)buf_bytes(&play->mail);

        fuzz_must(play->room && envelope->from && envelope->recipient_count > 0);
        for (size_t i = 0; i < play->mail.len; i++) {
                fuzz_must(bytes[i] != '\n' || (i && bytes[i - 1] == '\r'));
                fuzz_must(bytes[i] != '\r' || (i + 1 < play->mail.len && bytes[i + 1] == '\n'));
        }
}

static bool serve(struct play *play, enum esmtp_want want)
{
        struct esmtp_answer answer = { 0 };
        struct esmtp_signin signin;
        const struct esmtp_envelope *envelope = esmtp_envelope(play->esmtp);

        take_replies(play);
        switch (want) {
        case ESMTP_INPUT:
                return false;
        case ESMTP_FLUSH:
                return true;
        case ESMTP_MAIL:
                if (envelope->from[0] == 'n')
                        answer = (struct esmtp_answer){ 550, "5.7.1", envelope->from, "x\r\n", false };
                break;
        case ESMTP_RECIPIENT:
                if (envelope->recipients[envelope->recipient_count - 1].address[0] == 'n')
                        answer = (struct esmtp_answer){ 550, "5.1.1", "no", NULL, false };
                break;
        case ESMTP_DATA:
                play->room = envelope->size != 1;
                if (!play->room)
                        answer = (struct esmtp_answer){ 452, "4.3.1", "full", NULL, false };
                break;
        case ESMTP_COMMIT:
                look_at_mail(play);
                play->commits++;
                break;
        case ESMTP_SIGNIN:
                esmtp_signin(play->esmtp, &signin);
                fuzz_must(esmtp_is_secure(play->esmtp));
                if (signin.first) {
                        esmtp_challenge(play->esmtp, signin.bytes, signin.bytes ? signin.len : 0);
                        return true;
                }
                break;
        case ESMTP_STARTTLS:
                esmtp_secured(play->esmtp);
                return true;
        case ESMTP_END:
                play->over = true;
                return false;
        }
        esmtp_answer(play->esmtp, &answer);
        return true;
}

/* Line by line as far as go-aheads matter: what comes ahead of one depends on the portions. */
static void run(const uint8_t *data, size_t size, size_t portion, struct play *play)
{
        struct esmtp_rules rules = { .hostname = "station.example", .max_size = 2000 };
        static const struct esmtp_user user = { .body = on_body, .forget = on_forget };

        *play = (struct play){ .mail = { .max = 4 * MIB }, .all = { .max = 4 * MIB } };
        play->esmtp = esmtp_new(&rules, &user, play);
        esmtp_offer(play->esmtp, true, "PLAIN LOGIN");
        esmtp_greet(play->esmtp, NULL);
        for (size_t at = 0, len; at < size && !play->over; at += len) {
                const uint8_t *lf = memchr(data + at, '\n', size - at);
                size_t used = 0, done = 0;
                len = lf ? (size_t)(lf - data) + 1 - at : size - at;
                len = len < portion ? len : portion;
                uint8_t *bytes = memcpy(new_zeroed(len, 1), data + at, len);
                enum esmtp_want want;
                do {
                        want = esmtp_work(play->esmtp, bytes + done, len - done, &used);
                        fuzz_must(used <= len - done);
                        done += used;
                } while (serve(play, want));
                fuzz_must(play->over || done == len);
                free(bytes);
        }
        esmtp_free(play->esmtp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const size_t portions[] = { SIZE_MAX / 2, 1, 7 };
        struct play first;

        run(data, size, portions[0], &first);
        for (size_t i = 1; i < count_of(portions); i++) {
                struct play other;
                run(data, size, portions[i], &other);
                fuzz_must(other.commits == first.commits && fuzz_same(&first.all, &other.all));
                buf_free(&other.mail);
                buf_free(&other.all);
        }
        buf_free(&first.mail);
        buf_free(&first.all);
        return 0;
}
