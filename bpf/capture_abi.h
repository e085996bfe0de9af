/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel side and user space share: ring records, map keys and values, limits, reasons.
 *
 * Rules. Fields are aligned by hand, widest first, with no holes: no "packed" (clang would copy
 * byte by byte) and no stale kernel bytes in a record. Numbers are in host order, addresses are
 * 16 bytes with IPv4 as v4-mapped IPv6. Any change of a layout or of a meaning bumps
 * PT_ABI_VERSION; the loader refuses an object of another version.
 */
#ifndef PODTAP_CAPTURE_ABI_H
#define PODTAP_CAPTURE_ABI_H

#ifdef __cplusplus
#include <cstdint>
#include <linux/types.h>
#define PT_ABI_ASSERT(condition, message) static_assert(condition, message)
#else
#define PT_ABI_ASSERT(condition, message) _Static_assert(condition, message)
#endif

#define PT_ABI_VERSION 10

/* Taps that can be open at once. */
#define PT_MAX_TAPS 1024
/* Rings at most. A connection's records are all in one ring. */
#define PT_MAX_RINGS 16
/* Index of a tap's entry for one ring in the accounts of ring bytes. */
#define PT_RING_ACCOUNT(ring, tap) ((ring)*PT_MAX_TAPS + (tap))
/* A payload that starts like a message head is copied up to this length. */
#define PT_HEAD_COPY_BYTES 16384
/* Last bytes of a payload that is too long to be copied whole. */
#define PT_TAIL_BYTES 64
/*
 * Bytes behind a request's start that are copied whole, in records of PT_HEAD_COPY_BYTES: a client
 * that does not wait may put its next head behind a body, in the middle of a large segment.
 */
#define PT_WHOLE_BYTES 65536
/* Payload bytes per direction that an undecided connection may have copied. */
#define PT_UNDECIDED_BYTES 4096
/* Most bytes of payload in a record. */
#define PT_MAX_COPY_BYTES (PT_HEAD_COPY_BYTES + PT_TAIL_BYTES)
/* Bounds of the load-time setting capture_bytes. */
#define PT_MIN_CAPTURE_BYTES 256
#define PT_MAX_CAPTURE_BYTES PT_HEAD_COPY_BYTES
/* What a record of `size` bytes takes of the ring: the ring's own header and rounding included. */
#define PT_RING_BYTES(size) (((__u64)(size) + 15) & ~7ULL)

/*
 * Direction relative to the tapped pod. On loopback both ends are the pod's: there the "local" one
 * is that with the lower port, of equal ports that with the lower address, so that all packets of a
 * connection have one key.
 */
enum pt_direction {
	PT_FROM_POD = 0,
	PT_TO_POD = 1,
};

/* Where a tap's dispatcher puts what the shared program must know: __sk_buff.cb[]. */
enum pt_cb {
	PT_CB_TAP = 0,	      /* tap slot */
	PT_CB_GENERATION = 1, /* uses of the slot */
	PT_CB_POLARITY = 2,   /* enum pt_polarity */
};

/* Which way frames go that leave through the tapped interface. */
enum pt_polarity {
	PT_POD_SIDE = 0,  /* from the pod */
	PT_HOST_SIDE = 1, /* to the pod */
	PT_LOOPBACK = 2,  /* from the pod to itself: each comes back in, and counts then */
};

/* Bits of pt_record.flags and pt_connection.flags. */
#define PT_FLAG_CLIENT_KNOWN	0x01 /* a SYN told who the client is */
#define PT_FLAG_CLIENT_FROM_POD 0x02 /* the pod is the client; with CLIENT_KNOWN */
#define PT_FLAG_ISN_FROM_POD	0x04 /* isn[PT_FROM_POD] is set */
#define PT_FLAG_ISN_TO_POD	0x08 /* isn[PT_TO_POD] is set */
#define PT_FLAG_COALESCED	0x10 /* records only: a run of segments without their bytes */

/* Bits of pt_record.tcp_flags, as in the TCP header. */
#define PT_TCP_FIN 0x01
#define PT_TCP_SYN 0x02
#define PT_TCP_RST 0x04
#define PT_TCP_ACK 0x10

/*
 * One ring record: a segment, a part of one, or a run of them. This header, then head_len bytes
 * from the start of the payload, then tail_len bytes from its end; these may overlap.
 */
struct pt_record {
	__u64 time_ns;	 /* bpf_ktime_get_ns(); of the last segment when coalesced */
	__u64 opened_ns; /* identity of the connection among those with its tuple */
	__u8 local_addr[16];
	__u8 remote_addr[16];
	__u32 tap;
	__u32 generation;
	__u32 seq;	   /* of the first payload byte */
	__u32 payload_len; /* on the wire; of the whole run when coalesced */
	__u32 head_len;
	__u32 tail_len;
	__u32 isn[2]; /* by pt_direction of the sender */
	__u16 local_port;
	__u16 remote_port;
	__u8 direction;
	__u8 tcp_flags;
	__u8 flags;
	__u8 pad;
};
PT_ABI_ASSERT(sizeof(struct pt_record) == 88, "layout change: bump PT_ABI_VERSION");

/* A connection on one tap. */
struct pt_connection_key {
	__u8 local_addr[16];
	__u8 remote_addr[16];
	__u32 tap;
	__u32 generation;
	__u16 local_port;
	__u16 remote_port;
	__u32 pad;
};
PT_ABI_ASSERT(sizeof(struct pt_connection_key) == 48, "layout change: bump PT_ABI_VERSION");

enum pt_verdict {
	PT_UNDECIDED = 0,
	PT_HTTP = 1,
	PT_OPAQUE = 2,
};

/* How far a head has been read in search of its length. */
struct pt_scan {
	__u64 before[2]; /* its last 16 bytes so far */
	__u32 length;	 /* the value of Content-Length as far as it was read */
	__u16 digits;	 /* there is one */
	__u16 phase;
};

/* A run of sequence numbers, [seq, end) and not empty: one word, so that it changes at once. */
#define PT_RUN(seq, end) ((__u64)(seq) << 32 | (__u32)(end))
#define PT_RUN_SEQ(run)	 ((__u32)((run) >> 32))
#define PT_RUN_END(run)	 ((__u32)(run))

/* pt_direction_state.has_body */
enum pt_has_body {
	PT_BODY_NONE = 0,
	PT_BODY_SURE,
	PT_BODY_UNSEEN, /* of a response; should the next one come in its place, there is none */
};

/* What the kernel side remembers of one direction. */
struct pt_direction_state {
	__u64 run_time_ns; /* last segment of the pending run */
	__u64 reported_ns; /* last record of this direction */
	__u64 run;	   /* pending run of segments without copy, see PT_RUN; 0 = none */
	__u32 copied;	   /* bytes copied since the last head-like segment; saturates */
	__u8 has_body;	   /* enum pt_has_body */
	__u8 has_scan;
	__u8 pad[2];
	__u32 body_begin; /* a body that needs no copy: [body_begin, body_end) */
	__u32 body_end;
	__u32 scan_next;  /* where the head goes on that pt_connection.scan is of */
	__u32 body_front; /* of that body, the end of what has been seen */
};

/* State of a tracked connection; written by the kernel side, deleted by user space. */
struct pt_connection {
	__u64 opened_ns;
	__u32 isn[2];
	__u16 verdict; /* enum pt_verdict */
	__u16 kind;    /* PT_COUNT_TLS or PT_COUNT_HTTP2 when it began so, else 0 */
	__u32 flags;
	struct pt_direction_state direction[2];
	struct pt_scan scan[2]; /* by direction; last, since hardly used */
};
PT_ABI_ASSERT(sizeof(struct pt_connection) == 168, "layout change: bump PT_ABI_VERSION");

/* What a handshake told; kept in an LRU whose loss costs a MIDSTREAM flag. */
struct pt_handshake {
	__u64 opened_ns;
	__u32 isn[2];
	__u32 flags;
	__u32 pad;
};

/* What user space knows of a connection; written by user space, skip bits cleared by both. */
struct pt_feedback {
	__u64 opened_ns; /* of the connection it is meant for */
	__u32 verdict;
	__u32 has_skip[2];
	__u32 skip_until[2];
	__u32 pad;
};
PT_ABI_ASSERT(sizeof(struct pt_feedback) == 32, "layout change: bump PT_ABI_VERSION");

/*
 * What became of a packet. Each packet that the filter sees is counted under exactly one of the
 * reasons before PT_COUNT_REASONS, by its direction, so their sum is the number of packets. Bytes
 * are payload bytes on the wire where a TCP header was read, else 0.
 */
enum pt_count {
	PT_COUNT_NOT_IP = 0,  /* ARP and the like */
	PT_COUNT_NOT_TCP,     /* UDP, ICMP, ... */
	PT_COUNT_FRAGMENT,    /* IP fragment: has no ports to rely on */
	PT_COUNT_MALFORMED,   /* lengths that contradict each other */
	PT_COUNT_EXTENSIONS,  /* more IPv6 extension headers than are walked */
	PT_COUNT_NO_PAYLOAD,  /* ACK, SYN: nothing to report */
	PT_COUNT_COPIED,      /* payload of HTTP in the ring, whole */
	PT_COUNT_SAMPLED,     /* the same in part: beginning and end, or heads */
	PT_COUNT_SKIPPED,     /* bytes of bodies whose end is known */
	PT_COUNT_CLOSING,     /* FIN or RST without payload, in the ring */
	PT_COUNT_EXAMINED,    /* payload in the ring, of a connection not known as HTTP yet */
	PT_COUNT_TLS,	      /* connection that began with TLS */
	PT_COUNT_HTTP2,	      /* connection that began with HTTP/2's preface */
	PT_COUNT_OPAQUE,      /* connection that is of another protocol, a tunnel, or upgraded */
	PT_COUNT_MIDSTREAM,   /* no SYN seen, and it does not start like a message */
	PT_COUNT_UNDECIDED,   /* beyond PT_UNDECIDED_BYTES of an undecided connection */
	PT_COUNT_TABLE_FULL,  /* loss: no room in the connection table */
	PT_COUNT_RING_FULL,   /* loss: no room in the ring */
	PT_COUNT_READ_FAILED, /* loss: the payload could not be read */
	PT_COUNT_FAIR_SHARE,  /* loss: its tap holds more than its share of a ring that fills up */
	PT_COUNT_REASONS,
	/* Not per packet. Bytes are ring bytes, record headers included. */
	PT_TALLY_RECORDS = PT_COUNT_REASONS, /* records submitted to the ring */
	PT_TALLY_RUNS_LOST, /* loss: runs of skipped segments that the ring or the share refused */
	PT_TALLY_TLS,	    /* connections that began with a TLS record */
	PT_TALLY_CONNECTIONS, /* connections put into the table */
	PT_COUNT_SLOTS,
};
/* Key in the counter map. */
#define PT_COUNTER(tap, reason, direction) (((tap)*PT_COUNT_SLOTS + (reason)) * 2 + (direction))

struct pt_counter {
	__u64 count;
	__u64 bytes;
};

#endif
