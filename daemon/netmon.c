/* SPDX-License-Identifier: MIT */
/*
 * Notices of the kernel say that something may have changed; many are repetitions (router advertisements,
 * renewed leases). So a burst of them is waited out, then addresses and routes are asked for and their sum
 * compared with the one of before. A timer that the kernel cancels when the clock is set tells of that and of
 * waking up.
 */
#include "daemon/netmon.h"

#include "daemon/loop.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
        CALM_MS = 300,        /* a burst of notices is over after this */
        MESSAGES_A_TURN = 64, /* read before other descriptors get their turn */
        SLEEP_LEAST_MS = 10000,
        FAR_AWAY = 10 * 365 * 86400,
};

static struct {
        struct netmon_user user;
        int netlink_fd, clock_fd;
        struct watch *netlink, *clock;
        struct timer *calm;
        uint16_t asking; /* RTM_GETADDR, RTM_GETROUTE; 0: not asking */
        uint32_t sequence;
        bool asked_before;           /* `known` holds */
        uint64_t sum, known;         /* of what is being told; of what was told last */
        int64_t wall_offset, asleep; /* ms: wall clock minus boot time; boot time minus running time */
} me = { .netlink_fd = -1, .clock_fd = -1 };

/* ---- addresses and routes ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
        const uint8_t *at = bytes;

        for (size_t i = 0; i < len; i++)
                hash = (hash ^ at[i]) * UINT64_C(1099511628211);
        return hash;
}

/* Those attributes alone that say where packets go: not lifetimes. */
static uint64_t mix_attributes(uint64_t hash, const struct rtattr *attribute, size_t left, uint64_t wanted)
{
        for (; left >= sizeof *attribute && attribute->rta_len >= sizeof *attribute &&
               attribute->rta_len <= left;) {
                size_t step = RTA_ALIGN(attribute->rta_len);
                unsigned type = attribute->rta_type & (unsigned)NLA_TYPE_MASK;
                if (type < 64 && (wanted >> type & 1))
                        hash = mix(mix(hash, &type, sizeof type), RTA_DATA(attribute),
                                   RTA_PAYLOAD(attribute));
                left -= step < left ? step : left;
                attribute = (const struct rtattr *)(const void *)((const uint8_t *)attribute + step);
        }
        return hash;
}

#define WANTED(type) (UINT64_C(1) << (type))

static uint64_t sum_of(const struct nlmsghdr *header)
{
        const uint64_t start = UINT64_C(14695981039346656037);
        size_t len = header->nlmsg_len - NLMSG_HDRLEN;

        if (header->nlmsg_type == RTM_NEWADDR && len >= sizeof(struct ifaddrmsg)) {
                const struct ifaddrmsg *address = NLMSG_DATA(header);
                if (address->ifa_flags & IFA_F_TENTATIVE)
                        return 0;
                uint64_t hash = mix(mix(start, &address->ifa_prefixlen, 1), &address->ifa_index, 4);
                return mix_attributes(hash, IFA_RTA(address), len - NLMSG_ALIGN(sizeof *address),
                                      WANTED(IFA_ADDRESS) | WANTED(IFA_LOCAL));
        }
        if (header->nlmsg_type == RTM_NEWROUTE && len >= sizeof(struct rtmsg)) {
                const struct rtmsg *route = NLMSG_DATA(header);
                if (route->rtm_table != RT_TABLE_MAIN || route->rtm_type != RTN_UNICAST ||
                    route->rtm_flags & RTM_F_CLONED)
                        return 0;
                unsigned dead = route->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN);
                uint64_t hash = mix(mix(start, &route->rtm_dst_len, 1), &dead, sizeof dead);
                return mix_attributes(hash, RTM_RTA(route), len - NLMSG_ALIGN(sizeof *route),
                                      WANTED(RTA_DST) | WANTED(RTA_OIF) | WANTED(RTA_GATEWAY) |
                                              WANTED(RTA_PRIORITY) | WANTED(RTA_PREFSRC) |
                                              WANTED(RTA_MULTIPATH) | WANTED(RTA_VIA));
        }
        return 0;
}

static void ask(uint16_t what)
{
        struct {
                struct nlmsghdr header;
                struct rtgenmsg family;
        } request = {
                .header = { .nlmsg_len = sizeof request,
                            .nlmsg_type = what,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                            .nlmsg_seq = ++me.sequence },
                .family = { .rtgen_family = AF_UNSPEC },
        };

        me.asking = send(me.netlink_fd, &request, sizeof request, 0) == sizeof request ? what : 0;
        if (!me.asking)
                timer_set(me.calm, CALM_MS); /* the socket is full for the moment */
}

static void calm(unused_arg void *ctx)
{
        me.sum = 0;
        ask(RTM_GETADDR);
}

static void answer_is_whole(void)
{
        if (me.asking == RTM_GETADDR) {
                ask(RTM_GETROUTE);
                return;
        }
        bool changed = me.asked_before && me.sum != me.known;
        me.asking = 0;
        me.known = me.sum;
        me.asked_before = true;
        if (changed)
                me.user.network();
}

/* A notice, or a part of the answer. */
static void hear(const struct nlmsghdr *header)
{
        if (header->nlmsg_seq != me.sequence || !me.asking)
                timer_set(me.calm, CALM_MS);
        else if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
                answer_is_whole();
        else
                me.sum += sum_of(header); /* the order does not matter */
}

static void on_netlink(unused_arg void *ctx, unused_arg int what)
{
        static union {
                struct nlmsghdr header;
                uint8_t bytes[32768];
        } in;

        for (int i = 0; i < MESSAGES_A_TURN; i++) {
                ssize_t got = recv(me.netlink_fd, &in, sizeof in, MSG_DONTWAIT);
                if (got < 0 && errno == ENOBUFS) { /* notices were lost */
                        me.asking = 0;
                        timer_set(me.calm, CALM_MS);
                }
                if (got <= 0)
                        return;
                size_t left = (size_t)got;
                for (const struct nlmsghdr *header = &in.header; NLMSG_OK(header, left);
                     header = NLMSG_NEXT(header, left))
                        hear(header);
        }
}

/* ---- clock ---- */

static int64_t clock_ms(clockid_t clock)
{
        struct timespec time = { 0 };

        (void)clock_gettime(clock, &time);
        return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void arm_clock(void)
{
        struct itimerspec when = { .it_value = { .tv_sec = time(NULL) + FAR_AWAY } };

        /* ECANCELED: it was set again meanwhile; the timer is armed all the same */
        if (timerfd_settime(me.clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL) < 0 &&
            errno != ECANCELED)
                watch_for(me.clock, 0);
}

static void look_at_clock(bool tell)
{
        int64_t boot = clock_ms(CLOCK_BOOTTIME);
        int64_t wall_offset = clock_ms(CLOCK_REALTIME) - boot, asleep = boot - clock_ms(CLOCK_MONOTONIC);
        int64_t set = wall_offset - me.wall_offset, slept = asleep - me.asleep;

        me.wall_offset = wall_offset;
        me.asleep = asleep;
        loop_wall_told();
        if (tell && (set >= LOOP_WALL_STEP_MS || set <= -LOOP_WALL_STEP_MS)) /* less is an adjustment */
                me.user.clock((set + (set > 0 ? 500 : -500)) / 1000);
        if (tell && slept >= SLEEP_LEAST_MS)
                me.user.woke(slept / 1000);
}

void netmon_look(void)
{
        if (me.clock)
                look_at_clock(true);
}

static void on_clock(unused_arg void *ctx, unused_arg int what)
{
        uint64_t count;

        if (read(me.clock_fd, &count, sizeof count) < 0 && errno != ECANCELED)
                return;
        arm_clock();
        look_at_clock(true);
}

/* ---- beginning and end ---- */

static int open_netlink(void)
{
        struct sockaddr_nl address = {
                .nl_family = AF_NETLINK,
                /* links too: a cable that is out changes no address and no route but in its flags */
                .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                             RTMGRP_IPV6_ROUTE,
        };

        me.netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        return me.netlink_fd >= 0 ? bind(me.netlink_fd, (struct sockaddr *)&address, sizeof address) : -1;
}

int netmon_open(const struct netmon_user *user, struct cause *cause)
{
        me.user = *user;
        me.asking = 0;
        me.asked_before = false;
        me.clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (open_netlink() < 0 || me.clock_fd < 0) {
                cause_set(cause, CAUSE_INTERNAL, "changes of network and clock cannot be watched: %s",
                          strerror(errno));
                netmon_close();
                return -1;
        }
        me.netlink = watch_new(me.netlink_fd, on_netlink, NULL);
        me.clock = watch_new(me.clock_fd, on_clock, NULL);
        me.calm = timer_new(calm, NULL);
        watch_for(me.netlink, WATCH_READ);
        watch_for(me.clock, WATCH_READ);
        look_at_clock(false);
        loop_wall_watched(true);
        arm_clock();
        calm(NULL);
        return 0;
}

void netmon_close(void)
{
        watch_free(take(me.netlink));
        watch_free(take(me.clock));
        loop_wall_watched(false);
        timer_free(take(me.calm));
        close_fd(&me.netlink_fd);
        close_fd(&me.clock_fd);
}
