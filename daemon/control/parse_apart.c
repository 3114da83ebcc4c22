/* SPDX-License-Identifier: MIT */
/*
 * Calls that are so large that to parse them would hold up the loop are parsed by a thread: one for the
 * people in charge, one for everybody else. Meanwhile the client is not read from, not even for its end, so
 * that nothing can get past the call; what the frame takes is counted of its user's share until it was
 * parsed, also when the connection has ended.
 */
#include "daemon/control/client_parts.h"

struct parsing {
        struct job job;
        handle_id client;
        const struct method *method;
        struct frame_text text;
        struct share *share;
        size_t counted;
        json_t *object;
        struct cause cause;
        int result;
};

static struct workers *parsers[2]; /* [1]: of the people in charge */

static void parse_work(struct job *job)
{
        struct parsing *parsing = container_of(job, struct parsing, job);

        parsing->result = frame_parse(&parsing->text, &parsing->object, &parsing->cause);
}

static void parse_done(struct job *job)
{
        struct parsing *parsing = container_of(job, struct parsing, job);
        struct client *client = handle_object(parsing->client);

        (void)share_count(parsing->share, BUDGET_INPUT, &parsing->counted, 0);
        share_drop(parsing->share);
        if (client) {
                handle_drop(&client->parsing);
                client_call_came(client, parsing->method, parsing->result < 0 ? NULL : parsing->object,
                                 &parsing->cause);
        }
        json_decref(parsing->object);
        free(parsing);
}

void client_parse_apart(struct client *client, const struct method *method)
{
        struct parsing *parsing = new_object(struct parsing);
        bool in_charge = share_in_charge(client->share);

        client->parsing = handle_new(client);
        parsing->job = (struct job){ .work = parse_work, .done = parse_done };
        parsing->client = client->parsing;
        parsing->method = method;
        parsing->share = share_keep(client->share);
        frame_take_text(&client->reader, &parsing->text);
        (void)client_count(client); /* it is not counted there any more */
        (void)share_count(parsing->share, BUDGET_INPUT, &parsing->counted, parsing->text.size);
        if (!parsers[in_charge])
                parsers[in_charge] = workers_new(in_charge ? "parser-admin" : "parser", 1);
        workers_run(parsers[in_charge], &parsing->job);
}

void parse_apart_close(void)
{
        for (size_t i = 0; i < count_of(parsers); i++)
                workers_free(take(parsers[i]));
}
