/* SPDX-License-Identifier: MIT */
/*
 * What OpenSSL reads from and writes to: the socket, with a budget. SSL_connect() and SSL_read_ex() go on for
 * as long as they get records that bring nothing (HelloRequest, KeyUpdate, tickets, warnings), so what they
 * get has an end: WIRE_PER_WAKE bytes or RECORDS_PER_WAKE, then the socket seems empty until the loop has
 * turned. A peer that sends such records only is counted out.
 *
 * OpenSSL asks for the head of a record and then for the rest. What it is given is read off the socket in one
 * piece beforehand, once the handshake is over; up to there the socket is left as it is, for who looks at it.
 *
 * It writes record by record. Those of one long write are gathered, and leave in one call. What was gathered
 * and has not left goes ahead of whatever else is written: alerts, answers to the peer's KeyUpdate.
 */
#include "common/limits.h"
#include "daemon/tls/channel_parts.h"

#include <errno.h>
#include <openssl/bio.h>
#include <sys/socket.h>

static BIO_METHOD *method; /* for as long as the process lives */

/* The first bytes that OpenSSL is given are the first of the stream: they tell a plain-text server from a
 * broken one, and nothing later does. What is quoted of its words is completed by a look at what waits. */
static void note_first_bytes(struct channel *channel, const char *bytes, size_t len)
{
        size_t room = sizeof channel->first, noted = len < room ? len : room;

        memcpy(channel->first, bytes, noted);
        channel->first_len = (uint8_t)noted;
        if (noted == room || !channel_heard_plain_text(channel))
                return;
        ssize_t more = recv(channel->fd, channel->first + noted, room - noted, MSG_PEEK | MSG_DONTWAIT);
        if (more > 0)
                channel->first_len = (uint8_t)(noted + (size_t)more);
}

static int not_now(BIO *bio, struct channel *channel, int error, int retry)
{
        channel->number = error;
        if (error == EAGAIN || error == EINTR)
                BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
        errno = error;
        return -1;
}

static bool flooded(const struct channel *channel)
{
        return channel->records > (channel->finished ? LIMIT_CONTROL_RECORDS : LIMIT_HANDSHAKE_RECORDS);
}

static void drop_ahead(struct channel *channel)
{
        free(take(channel->ahead));
        channel->ahead_at = channel->ahead_len = 0;
        channel->transport.holds = false;
}

/* As recv(); no more off the socket than may be asked for in this wake, or it would have to be come back to.
 */
static ssize_t read_ahead(struct channel *channel, char *to, size_t wanted)
{
        if (!channel->ahead) {
                channel->ahead = new_memory(WIRE_PER_WAKE);
                size_t most = WIRE_PER_WAKE - channel->transport.taken;
                ssize_t got = recv(channel->fd, channel->ahead, most, MSG_DONTWAIT);
                int error = errno;
                if (got <= 0) {
                        drop_ahead(channel);
                        errno = error;
                        return got;
                }
                channel->ahead_len = (size_t)got;
        }
        size_t left = channel->ahead_len - channel->ahead_at, given = wanted < left ? wanted : left;
        memcpy(to, channel->ahead + channel->ahead_at, given);
        channel->ahead_at += given;
        channel->transport.holds = given < left;
        if (!channel->transport.holds)
                drop_ahead(channel);
        return (ssize_t)given;
}

static int wire_read(BIO *bio, char *to, int size)
{
        struct channel *channel = BIO_get_data(bio);
        size_t taken = channel->transport.taken, wanted = (size_t)size;

        if (!taken)
                channel->records_now = 0;
        BIO_clear_retry_flags(bio);
        channel->flooded = flooded(channel);
        if (channel->flooded)
                return not_now(bio, channel, EPROTO, 0);
        if (taken >= WIRE_PER_WAKE || channel->records_now >= RECORDS_PER_WAKE)
                return not_now(bio, channel, EAGAIN, BIO_FLAGS_READ);
        if (wanted > WIRE_PER_WAKE - taken)
                wanted = WIRE_PER_WAKE - taken;
        ssize_t got = channel->finished ? read_ahead(channel, to, wanted)
                                        : recv(channel->fd, to, wanted, MSG_DONTWAIT);
        if (got < 0)
                return not_now(bio, channel, errno, BIO_FLAGS_READ);
        channel->transport.taken += (size_t)got;
        channel->at_end = got == 0;
        channel->number = 0;
        if (got > 0 && !channel->first_len)
                note_first_bytes(channel, to, (size_t)got);
        return channel_heard_plain_text(channel) ? not_now(bio, channel, EPROTO, 0) : (int)got;
}

/* A record at its longest is told by RFC 8446, 5.2; SSL3_RT_MAX_... are those of SSL 3. */
enum {
        RECORD_MOST = SSL3_RT_HEADER_LENGTH + SSL3_RT_MAX_PLAIN_LENGTH + 2048,
        GATHER_MOST = 4 * RECORD_MOST,
};

bool channel_gathers_more(const struct channel *channel)
{
        return channel->gathered_len <= GATHER_MOST - RECORD_MOST;
}

void channel_drop_gathered(struct channel *channel)
{
        free(take(channel->gathered));
        channel->gathered_at = channel->gathered_len = 0;
}

int channel_send_gathered(struct channel *channel, bool more)
{
        while (channel->gathered_at < channel->gathered_len) {
                ssize_t sent = send(channel->fd, channel->gathered + channel->gathered_at,
                                    channel->gathered_len - channel->gathered_at,
                                    MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
                if (sent < 0)
                        return errno;
                channel->gathered_at += (size_t)sent;
        }
        channel_drop_gathered(channel);
        return 0;
}

static int wire_write(BIO *bio, const char *from, int len)
{
        struct channel *channel = BIO_get_data(bio);
        bool gathers = channel->gathers && (size_t)len <= RECORD_MOST && channel_gathers_more(channel);

        BIO_clear_retry_flags(bio);
        if (gathers) {
                if (!channel->gathered)
                        channel->gathered = new_memory(GATHER_MOST);
                memcpy(channel->gathered + channel->gathered_len, from, (size_t)len);
                channel->gathered_len += (size_t)len;
                return len;
        }
        int error = channel_send_gathered(channel, true);
        if (error)
                return not_now(bio, channel, error, BIO_FLAGS_WRITE);
        ssize_t sent = send(channel->fd, from, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
                return not_now(bio, channel, errno, BIO_FLAGS_WRITE);
        return (int)sent;
}

static long wire_ctrl(BIO *bio, int command, unused_arg long number, unused_arg void *pointer)
{
        const struct channel *channel = BIO_get_data(bio);

        if (command == BIO_CTRL_FLUSH)
                return 1;
        return command == BIO_CTRL_EOF ? channel->at_end : 0;
}

/* A record's head: each one that comes counts, until application data has come. */
static void on_message(int sent, unused_arg int version, int type, unused_arg const void *bytes,
                       unused_arg size_t len, unused_arg SSL *ssl, void *ctx)
{
        struct channel *channel = ctx;

        if (sent || type != SSL3_RT_HEADER)
                return;
        channel->records++;
        channel->records_now++;
}

static BIO_METHOD *make_method(void)
{
        BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");

        if (made && BIO_meth_set_read(made, wire_read) == 1 && BIO_meth_set_write(made, wire_write) == 1 &&
            BIO_meth_set_ctrl(made, wire_ctrl) == 1)
                return made;
        BIO_meth_free(made);
        return NULL;
}

int channel_use_wire(struct channel *channel)
{
        if (!method)
                method = make_method();
        BIO *bio = method ? BIO_new(method) : NULL;
        if (!bio)
                return -1;
        BIO_set_data(bio, channel);
        BIO_set_init(bio, 1);
        SSL_set_bio(channel->ssl, bio, bio);
        SSL_set_msg_callback(channel->ssl, on_message);
        SSL_set_msg_callback_arg(channel->ssl, channel);
        return 0;
}
