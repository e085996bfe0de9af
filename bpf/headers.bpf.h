/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks L2 to L4. Reads with bpf_skb_load_bytes only: the "_relative" helper and direct access see
 * just the linear part of a packet and miss the payload of locally sent ones.
 */
#ifndef PODTAP_HEADERS_BPF_H
#define PODTAP_HEADERS_BPF_H

#define PT_VLAN_TAGS	   2
#define PT_IPV6_HEADERS	   6
#define PT_WALK_OK	   PT_COUNT_REASONS
#define PT_IP_FRAGMENT	   0x3fff /* more fragments, or an offset */
#define PT_ETH_P_IP	   0x0800
#define PT_ETH_P_IPV6	   0x86dd
#define PT_ETH_P_8021Q	   0x8100
#define PT_ETH_P_8021AD	   0x88a8
#define PT_PACKET_OUTGOING 4

static __always_inline void pt_set_v4(__u8 *to, __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, 4);
}

/* What most packets have, read by one call. */
struct pt_v4_headers {
	struct iphdr ip;
	struct tcphdr tcp; /* where the packet is IPv4 without options */
};

static __always_inline __u32 pt_walk_ipv4(struct __sk_buff *skb, struct pt_packet *packet,
					  struct pt_connection_key *key,
					  struct pt_v4_headers *headers, __u64 *has_tcp)
{
	struct iphdr *ip = &headers->ip;

	*has_tcp = !bpf_skb_load_bytes(skb, packet->l3, headers, sizeof(*headers));
	if (!*has_tcp && bpf_skb_load_bytes(skb, packet->l3, ip, sizeof(*ip)))
		return PT_COUNT_MALFORMED;
	*has_tcp &= ip->ihl == 5;
	if (ip->version != 4 || ip->ihl < 5)
		return PT_COUNT_MALFORMED;
	if (ip->protocol != IPPROTO_TCP)
		return PT_COUNT_NOT_TCP;
	if (ip->frag_off & bpf_htons(PT_IP_FRAGMENT))
		return PT_COUNT_FRAGMENT;
	packet->l4 = packet->l3 + ip->ihl * 4;
	/* 0 under BIG TCP: the length is then the packet's own. */
	if (ip->tot_len)
		packet->end = packet->l3 + bpf_ntohs(ip->tot_len);
	if (packet->direction == PT_FROM_POD) {
		pt_set_v4(key->local_addr, ip->saddr);
		pt_set_v4(key->remote_addr, ip->daddr);
	} else {
		pt_set_v4(key->local_addr, ip->daddr);
		pt_set_v4(key->remote_addr, ip->saddr);
	}
	return PT_WALK_OK;
}

/* Moves past one extension header; returns the next header's number in *next. */
static __always_inline __u32 pt_walk_extension(struct __sk_buff *skb, struct pt_packet *packet,
					       __u8 *next)
{
	__u8 start[4];

	if (*next == IPPROTO_TCP)
		return PT_WALK_OK;
	if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_ROUTING && *next != IPPROTO_DSTOPTS &&
	    *next != IPPROTO_FRAGMENT)
		return PT_COUNT_NOT_TCP;
	if (bpf_skb_load_bytes(skb, packet->l4, start, sizeof(start)))
		return PT_COUNT_MALFORMED;
	if (*next == IPPROTO_FRAGMENT) {
		/* An "atomic" fragment (RFC 6946) is whole: no offset, no more to come. */
		if (start[2] || (start[3] & 0xf9))
			return PT_COUNT_FRAGMENT;
		packet->l4 += 8;
	} else {
		packet->l4 += ((__u64)start[1] + 1) * 8;
	}
	*next = start[0];
	return PT_WALK_OK;
}

static __always_inline __u32 pt_walk_ipv6(struct __sk_buff *skb, struct pt_packet *packet,
					  struct pt_connection_key *key)
{
	struct ipv6hdr ip;
	__u8 next;
	__u32 result;

	if (bpf_skb_load_bytes(skb, packet->l3, &ip, sizeof(ip)))
		return PT_COUNT_MALFORMED;
	if (ip.version != 6)
		return PT_COUNT_MALFORMED;
	packet->l4 = packet->l3 + sizeof(ip);
	/* 0 in a jumbogram (BIG TCP): the length is then the packet's own. */
	if (ip.payload_len)
		packet->end = packet->l4 + bpf_ntohs(ip.payload_len);
	if (packet->direction == PT_FROM_POD) {
		__builtin_memcpy(key->local_addr, &ip.saddr, 16);
		__builtin_memcpy(key->remote_addr, &ip.daddr, 16);
	} else {
		__builtin_memcpy(key->local_addr, &ip.daddr, 16);
		__builtin_memcpy(key->remote_addr, &ip.saddr, 16);
	}
	next = ip.nexthdr;
#pragma unroll
	for (int i = 0; i < PT_IPV6_HEADERS; i++) {
		result = pt_walk_extension(skb, packet, &next);
		if (result != PT_WALK_OK)
			return result;
	}
	return next == IPPROTO_TCP ? PT_WALK_OK : PT_COUNT_EXTENSIONS;
}

static __always_inline __u32 pt_walk_tcp(struct pt_packet *packet, struct pt_connection_key *key,
					 const struct tcphdr *tcp)
{
	if (tcp->doff < 5)
		return PT_COUNT_MALFORMED;
	packet->payload = packet->l4 + tcp->doff * 4;
	if (packet->payload > packet->end)
		return PT_COUNT_MALFORMED;
	packet->payload_len = packet->end - packet->payload;
	packet->seq = bpf_ntohl(tcp->seq);
	packet->tcp_flags = ((const __u8 *)tcp)[13];
	if (packet->direction == PT_FROM_POD) {
		key->local_port = bpf_ntohs(tcp->source);
		key->remote_port = bpf_ntohs(tcp->dest);
	} else {
		key->local_port = bpf_ntohs(tcp->dest);
		key->remote_port = bpf_ntohs(tcp->source);
	}
	return PT_WALK_OK;
}

/*
 * Fills the packet and the tuple of the key; PT_WALK_OK, or the reason to leave the packet alone.
 * packet.direction is set already.
 */
__noinline int pt_walk(struct __sk_buff *skb)
{
	struct pt_work *work = pt_get_work();
	struct pt_packet *packet;
	struct pt_v4_headers headers;
	__u16 protocol = skb->protocol;
	__u64 has_tcp = 0;
	__u32 result;

	if (!work)
		return PT_COUNT_READ_FAILED;
	packet = &work->packet;
	packet->l3 = pt_l3_base;
	packet->end = skb->len;
	packet->payload_len = 0;
#pragma unroll
	for (int i = 0; i < PT_VLAN_TAGS; i++) {
		if (protocol != bpf_htons(PT_ETH_P_8021Q) && protocol != bpf_htons(PT_ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, packet->l3 + 2, &protocol, sizeof(protocol)))
			return PT_COUNT_MALFORMED;
		packet->l3 += 4;
	}
	if (protocol == bpf_htons(PT_ETH_P_IP))
		result = pt_walk_ipv4(skb, packet, &work->key, &headers, &has_tcp);
	else if (protocol == bpf_htons(PT_ETH_P_IPV6))
		result = pt_walk_ipv6(skb, packet, &work->key);
	else
		return PT_COUNT_NOT_IP;
	if (result != PT_WALK_OK)
		return result;
	/* A length that claims more than is there can't be trusted. */
	if (packet->end > skb->len)
		return PT_COUNT_MALFORMED;
	if (!has_tcp && bpf_skb_load_bytes(skb, packet->l4, &headers.tcp, sizeof(headers.tcp)))
		return PT_COUNT_MALFORMED;
	return pt_walk_tcp(packet, &work->key, &headers.tcp);
}

/* Whether one address is above another; the first byte counts most. */
static __always_inline int pt_is_above(const __u64 *address, const __u64 *other)
{
	if (address[0] != other[0])
		return bpf_be64_to_cpu(address[0]) > bpf_be64_to_cpu(other[0]);
	return bpf_be64_to_cpu(address[1]) > bpf_be64_to_cpu(other[1]);
}

/*
 * For a packet on loopback that was walked as one from the pod: puts its ends in the order that
 * enum pt_direction tells of, and sets the direction accordingly.
 */
__noinline int pt_order_ends(void)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection_key *key;
	__u64 source[2], destination[2];
	__u16 source_port, destination_port;

	if (!work)
		return 0;
	key = &work->key;
	source_port = key->local_port;
	destination_port = key->remote_port;
	if (source_port < destination_port)
		return 0;
	__builtin_memcpy(source, key->local_addr, 16);
	__builtin_memcpy(destination, key->remote_addr, 16);
	if (source_port == destination_port && !pt_is_above(source, destination))
		return 0;
	__builtin_memcpy(key->local_addr, destination, 16);
	__builtin_memcpy(key->remote_addr, source, 16);
	key->local_port = destination_port;
	key->remote_port = source_port;
	work->packet.direction = PT_TO_POD;
	return 0;
}

#endif
