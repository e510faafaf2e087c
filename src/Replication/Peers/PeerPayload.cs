using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// The encoding of Raft messages between nodes: one payload carries many groups. MessagePack, positional:
/// <code>
/// payload    = [version, kind, wallMs, extra…, items]          version 1
/// messages   = [1, 1, wallMs, [item…], room]                   item = [type, group, epoch, from, to, term, fields…]
/// heartbeats = [1, 2, wallMs, round, [item…]]                  item = [group, epoch, from, to, term, commit, lowestMatch]
/// answers    = [1, 3, wallMs, stampIncarnation, stampTicks, [item…], disk, room]   item = [group, epoch, from, to, term, round]
///              disk and room, see DiskReport and RoomReport, are left out for nodes of feature level 1; payloads of appends have none
/// entry      = [term, kind, featureLevel, clock, count, payload]       consecutive indices from the append's prevIndex + 1
/// conf       = [voters, outgoing, learners, learnersNext, autoLeave]   and, only when there is something to say,
///              epoch, [[replica, node]…] behind that: members that are older builds cannot read it and are none of such a group
/// </code>
/// A round is (incarnation × 2^40 + counter) of the leader's process. An answer names each group and the term it was given
/// in; its stamp is (incarnation, elapsed clock in raw ticks) of the answering node, echoed by a later proof of freshness.
/// <para>
/// Room to grow: fields may be added behind those of an item and of a payload, types and kinds may be added; a reader passes over
/// what it does not know. Not so an entry: what cannot be stored whole is not taken. Decoding never throws. Bytes that are not MessagePack cost
/// a closed connection, an item that is nonsense is left out. Nonsense is also a number that no cluster can have reached, and a term in a log that is above its
/// message's: believed, the first would overflow what is counted on from it, and the second could not be outvoted.
/// </para>
/// </summary>
internal static class PeerPayload
{
    public const byte Version = 1;
    public const byte MessagesKind = 1;
    public const byte HeartbeatsKind = 2;
    public const byte AnswersKind = 3;

    /// <summary>Highest term a message may have: a thousand elections a second for 8,900 years.</summary>
    public const ulong MaxTerm = 1UL << 48;

    /// <summary>Highest log index: a million entries a second for 2,200 years.</summary>
    public const ulong MaxIndex = 1UL << 56;

    /// <summary>Latest wall clock, in unix milliseconds: the year 6429.</summary>
    public const ulong MaxWallMs = 1UL << 47;

    /// <summary>Highest revision an entry may start at: the same year.</summary>
    public const ulong MaxClock = MaxWallMs << 16;

    /// <summary>Replicas in each part of a configuration.</summary>
    public const int MaxReplicas = 256;

    /// <summary>Members of a configuration, all its parts together.</summary>
    public const int MaxMembers = 4 * MaxReplicas;

    private const int HeaderFields = 3;
    private const int ConfigurationFields = 5;
    private const int ConfigurationFieldsWithEpoch = 7;
    private const int ItemFields = 6;
    private const int HeartbeatFields = 7;
    private const int AnswerFields = 6;
    private const int MaxEntriesPerAppend = 1 << 16;

    /// <summary>Items that room is made for before they are read.</summary>
    private const int MaxRoomAhead = 64;

    /// <summary>What every item has: the group, its sender's routing epoch, and the envelope of the message.</summary>
    private readonly record struct Address(GroupId Group, ulong Epoch, ReplicaId From, ReplicaId To, ulong Term);

    private enum MessageType : byte
    {
        AppendEntries = 1,
        AppendResponse = 2,
        VoteRequest = 3,
        VoteResponse = 4,
        ReadIndexRequest = 5,
        ReadIndexResponse = 6,
        InstallSnapshot = 7,
        TimeoutNow = 8,
        FreshnessProof = 9,
    }

    /// <summary>Writes one message of the general kind; heartbeats and their answers have kinds of their own.</summary>
    public static void WriteMessage(IBufferWriter<byte> output, GroupId group, ulong epoch, Message message)
    {
        var writer = new MessagePackWriter(output);
        switch (message)
        {
            case AppendEntries append:
                WriteHead(ref writer, MessageType.AppendEntries, group, epoch, message, fields: 4);
                writer.Write(append.PrevIndex);
                writer.Write(append.PrevTerm);
                writer.Write(append.Commit);
                writer.WriteArrayHeader(append.Entries.Count);
                for (int i = 0; i < append.Entries.Count; i++)
                {
                    WriteEntry(ref writer, append.Entries[i]);
                }

                break;

            case AppendAccepted accepted:
                WriteAppendResponse(ref writer, group, epoch, message, accepted.Index, rejected: false, hintIndex: 0, hintTerm: 0);
                break;

            case AppendRejected rejected:
                WriteAppendResponse(ref writer, group, epoch, message, rejected.Index, rejected: true, rejected.HintIndex, rejected.HintTerm);
                break;

            case BallotRequest ballot:
                WriteHead(ref writer, MessageType.VoteRequest, group, epoch, message, fields: 4);
                writer.Write(ballot.LastIndex);
                writer.Write(ballot.LastTerm);
                writer.Write(ballot is PreVoteRequest);
                writer.Write(ballot is TransferVoteRequest);
                break;

            case PreVoteGranted or VoteGranted:
                WriteVoteResponse(ref writer, group, epoch, message, preVote: message is PreVoteGranted, granted: true, commit: 0, commitTerm: 0);
                break;

            case BallotRefused refused:
                WriteVoteResponse(
                    ref writer, group, epoch, message, preVote: refused is PreVoteRefused, granted: false, refused.Commit, refused.CommitTerm);
                break;

            case ReadIndexRequest read:
                WriteHead(ref writer, MessageType.ReadIndexRequest, group, epoch, message, fields: 1);
                writer.Write(read.Context);
                break;

            case ReadIndexResponse read:
                WriteHead(ref writer, MessageType.ReadIndexResponse, group, epoch, message, fields: 2);
                writer.Write(read.Context);
                writer.Write(read.Index);
                break;

            case InstallSnapshot install:
                WriteHead(ref writer, MessageType.InstallSnapshot, group, epoch, message, fields: 4);
                writer.Write(install.Snapshot.Index);
                writer.Write(install.Snapshot.Term);
                writer.Write(install.Snapshot.LastClock);
                WriteConfiguration(ref writer, install.Snapshot.Configuration);
                break;

            case FreshnessProof proof:
                WriteHead(ref writer, MessageType.FreshnessProof, group, epoch, message, fields: 3);
                writer.Write(proof.Commit);
                writer.Write(proof.Echo.Incarnation);
                writer.Write(proof.Echo.Ticks);
                break;

            case TimeoutNow:
                WriteHead(ref writer, MessageType.TimeoutNow, group, epoch, message, fields: 0);
                break;

            default:
                throw new InvariantViolationException($"{message.GetType().Name} never crosses the network");
        }

        writer.Flush();
    }

    public static void WriteHeartbeat(IBufferWriter<byte> output, GroupId group, ulong epoch, Heartbeat heartbeat, ulong lowestMatch)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(HeartbeatFields);
        WriteAddress(ref writer, group, epoch, heartbeat);
        writer.Write(heartbeat.Commit);
        writer.Write(lowestMatch);
        writer.Flush();
    }

    public static void WriteAnswer(IBufferWriter<byte> output, GroupId group, ulong epoch, HeartbeatResponse answer)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(AnswerFields);
        WriteAddress(ref writer, group, epoch, answer);
        writer.Write(answer.Round);
        writer.Flush();
    }

    /// <summary>
    /// Version and kind, the first two fields of every payload between nodes. False: the bytes are no payload that this build could find
    /// its way in.
    /// </summary>
    public static bool TryBegin(ref MessagePackReader reader, out int fields, out byte kind)
    {
        kind = 0;
        return reader.TryReadArrayHeader(out fields) && fields >= HeaderFields && reader.TryRead(out byte version) && version == Version
            && reader.TryRead(out kind);
    }

    /// <summary>Decodes a payload of Raft messages. False: malformed, the connection it came over is not to be trusted.</summary>
    public static bool TryRead(ReadOnlySpan<byte> payload, out PeerPayloadHead head, List<PeerMessage> messages)
    {
        head = default;
        var reader = new MessagePackReader(payload);
        return TryBegin(ref reader, out int fields, out byte kind) && TryRead(ref reader, fields, kind, out head, messages);
    }

    /// <summary>
    /// The rest of a payload whose kind is one of the three. An item that this build does not know, or that says what cannot be, is
    /// passed over and counted: it concerns one group, the connection all of them. Fields behind those that are known are of a newer build.
    /// </summary>
    public static bool TryRead(ref MessagePackReader reader, int fields, byte kind, out PeerPayloadHead head, List<PeerMessage> messages)
    {
        head = default;
        ulong round = 0;
        ulong incarnation = 0;
        ulong ticks = 0;
        int known = HeaderFields + 1 + (kind switch { HeartbeatsKind => 1, AnswersKind => 2, _ => 0 });
        if (kind is not (MessagesKind or HeartbeatsKind or AnswersKind) || fields < known
            || !TryReadUpTo(ref reader, MaxWallMs, out ulong wallMs)
            || (kind == HeartbeatsKind && !reader.TryRead(out round))
            || (kind == AnswersKind && !(reader.TryRead(out incarnation) && reader.TryRead(out ticks)))
            || !reader.TryReadArrayHeader(out int items))
        {
            return false;
        }

        // Most payloads have one item. What is said here is not believed beyond a few: the bytes must be there.
        messages.EnsureCapacity(Math.Min(items, MaxRoomAhead));
        int skipped = 0;
        for (int i = 0; i < items; i++)
        {
            MessagePackReader begin = reader;
            bool read = kind switch
            {
                MessagesKind => TryReadMessage(ref reader, messages),
                HeartbeatsKind => TryReadHeartbeat(ref reader, round, messages),
                _ => TryReadAnswer(ref reader, messages),
            };
            if (read)
            {
                continue;
            }

            reader = begin;
            if (!reader.TrySkip())
            {
                return false;
            }

            skipped++;
        }

        int left = fields - known;
        DiskReport? disk = null;
        if (kind == AnswersKind && left > 0)
        {
            MessagePackReader begin = reader;
            if (DiskReport.TryRead(ref reader, out DiskReport report))
            {
                disk = report;
                left--;
            }
            else
            {
                reader = begin;
            }
        }

        RoomReport? room = null;
        if (kind != HeartbeatsKind && left > 0)
        {
            MessagePackReader begin = reader;
            if (RoomReport.TryRead(ref reader, out RoomReport report))
            {
                room = report;
                left--;
            }
            else
            {
                reader = begin;
            }
        }

        head = new PeerPayloadHead(wallMs, new Stamp(incarnation, ticks), skipped, disk, room);
        return reader.TrySkip(left) && reader.AtEnd;
    }

    private static void WriteAppendResponse(
        ref MessagePackWriter writer, GroupId group, ulong epoch, Message message, ulong index, bool rejected, ulong hintIndex, ulong hintTerm)
    {
        WriteHead(ref writer, MessageType.AppendResponse, group, epoch, message, fields: 4);
        writer.Write(index);
        writer.Write(rejected);
        writer.Write(hintIndex);
        writer.Write(hintTerm);
    }

    private static void WriteVoteResponse(
        ref MessagePackWriter writer, GroupId group, ulong epoch, Message message, bool preVote, bool granted, ulong commit, ulong commitTerm)
    {
        WriteHead(ref writer, MessageType.VoteResponse, group, epoch, message, fields: 4);
        writer.Write(preVote);
        writer.Write(granted);
        writer.Write(commit);
        writer.Write(commitTerm);
    }

    private static void WriteHead(ref MessagePackWriter writer, MessageType type, GroupId group, ulong epoch, Message message, int fields)
    {
        writer.WriteArrayHeader(ItemFields + fields);
        writer.Write((uint)type);
        WriteAddress(ref writer, group, epoch, message);
    }

    private static void WriteAddress(ref MessagePackWriter writer, GroupId group, ulong epoch, Message message)
    {
        writer.Write(group.Value);
        writer.Write(epoch);
        writer.Write(message.From.Value);
        writer.Write(message.To.Value);
        writer.Write(message.Term);
    }

    private static void WriteEntry(ref MessagePackWriter writer, Entry entry)
    {
        writer.WriteArrayHeader(6);
        writer.Write(entry.Term);
        writer.Write((uint)entry.Kind);
        writer.Write((uint)entry.FeatureLevel);
        writer.Write(entry.Clock);
        writer.Write(entry.Count);
        writer.Write(entry.Payload.Span);
    }

    private static void WriteConfiguration(ref MessagePackWriter writer, ConfState configuration)
    {
        writer.WriteArrayHeader(configuration.HasEpochOrNodes ? ConfigurationFieldsWithEpoch : ConfigurationFields);
        WriteReplicas(ref writer, configuration.Voters);
        WriteReplicas(ref writer, configuration.VotersOutgoing);
        WriteReplicas(ref writer, configuration.Learners);
        WriteReplicas(ref writer, configuration.LearnersNext);
        writer.Write(configuration.AutoLeave);
        if (!configuration.HasEpochOrNodes)
        {
            return;
        }

        writer.Write(configuration.Epoch);
        writer.WriteArrayHeader(configuration.Nodes.Count);
        foreach (ReplicaNode node in configuration.Nodes)
        {
            writer.WriteArrayHeader(2);
            writer.Write(node.Id.Value);
            writer.Write(node.Node);
        }
    }

    private static void WriteReplicas(ref MessagePackWriter writer, IReadOnlyList<ReplicaId> replicas)
    {
        writer.WriteArrayHeader(replicas.Count);
        foreach (ReplicaId replica in replicas)
        {
            writer.Write(replica.Value);
        }
    }

    private static bool TryReadUpTo(ref MessagePackReader reader, ulong max, out ulong value) => reader.TryRead(out value) && value <= max;

    private static bool TryReadIndex(ref MessagePackReader reader, out ulong index) => TryReadUpTo(ref reader, MaxIndex, out index);

    private static bool TryReadAddress(ref MessagePackReader reader, out Address at)
    {
        at = default;
        if (!reader.TryRead(out uint group) || !reader.TryRead(out ulong epoch) || !reader.TryRead(out ulong from)
            || !reader.TryRead(out ulong to) || !TryReadUpTo(ref reader, MaxTerm, out ulong term))
        {
            return false;
        }

        at = new Address(new GroupId(group), epoch, new ReplicaId(from), new ReplicaId(to), term);
        return true;
    }

    private static bool TryReadHeartbeat(ref MessagePackReader reader, ulong round, List<PeerMessage> messages)
    {
        if (!reader.TryReadArrayHeader(out int fields) || fields < HeartbeatFields || !TryReadAddress(ref reader, out Address at)
            || !TryReadIndex(ref reader, out ulong commit) || !TryReadIndex(ref reader, out ulong lowestMatch)
            || !reader.TrySkip(fields - HeartbeatFields))
        {
            return false;
        }

        messages.Add(new PeerMessage(at.Group, at.Epoch, new Heartbeat(at.From, at.To, at.Term, commit, round), lowestMatch));
        return true;
    }

    private static bool TryReadAnswer(ref MessagePackReader reader, List<PeerMessage> messages)
    {
        if (!reader.TryReadArrayHeader(out int fields) || fields < AnswerFields || !TryReadAddress(ref reader, out Address at)
            || !reader.TryRead(out ulong round) || !reader.TrySkip(fields - AnswerFields))
        {
            return false;
        }

        messages.Add(new PeerMessage(at.Group, at.Epoch, new HeartbeatResponse(at.From, at.To, at.Term, round)));
        return true;
    }

    private static bool TryReadMessage(ref MessagePackReader reader, List<PeerMessage> messages)
    {
        if (!reader.TryReadArrayHeader(out int fields) || fields < ItemFields || !reader.TryRead(out byte type)
            || !TryReadAddress(ref reader, out Address at))
        {
            return false;
        }

        (GroupId group, ulong epoch, ReplicaId from, ReplicaId to, ulong term) = at;
        Message? message = null;
        int own = fields - ItemFields;
        int known = 0;
        switch ((MessageType)type)
        {
            case MessageType.AppendEntries when own >= 4:
                known = 4;
                if (TryReadIndex(ref reader, out ulong prevIndex) && TryReadUpTo(ref reader, term, out ulong prevTerm)
                    && TryReadIndex(ref reader, out ulong commit)
                    && TryReadEntries(ref reader, prevIndex, prevTerm, term, out Entry[]? entries))
                {
                    message = new AppendEntries(from, to, term, prevIndex, prevTerm, commit, entries);
                }

                break;

            case MessageType.AppendResponse when own >= 4:
                known = 4;
                if (TryReadIndex(ref reader, out ulong index) && reader.TryRead(out bool rejected)
                    && TryReadIndex(ref reader, out ulong hintIndex) && TryReadUpTo(ref reader, term, out ulong hintTerm))
                {
                    message = rejected
                        ? new AppendRejected(from, to, term, index, hintIndex, hintTerm)
                        : new AppendAccepted(from, to, term, index);
                }

                break;

            case MessageType.VoteRequest when own >= 4:
                known = 4;
                if (TryReadIndex(ref reader, out ulong lastIndex) && TryReadUpTo(ref reader, term, out ulong lastTerm)
                    && reader.TryRead(out bool preVote) && reader.TryRead(out bool transfer))
                {
                    message = (preVote, transfer) switch
                    {
                        (true, _) => new PreVoteRequest(from, to, term, lastIndex, lastTerm),
                        (_, true) => new TransferVoteRequest(from, to, term, lastIndex, lastTerm),
                        _ => new VoteRequest(from, to, term, lastIndex, lastTerm),
                    };
                }

                break;

            case MessageType.VoteResponse when own >= 4:
                known = 4;
                if (reader.TryRead(out bool preVoteAnswer) && reader.TryRead(out bool granted)
                    && TryReadIndex(ref reader, out ulong votersCommit) && TryReadUpTo(ref reader, term, out ulong votersCommitTerm))
                {
                    message = (preVoteAnswer, granted) switch
                    {
                        (true, true) => new PreVoteGranted(from, to, term),
                        (false, true) => new VoteGranted(from, to, term),
                        (true, false) => new PreVoteRefused(from, to, term, votersCommit, votersCommitTerm),
                        _ => new VoteRefused(from, to, term, votersCommit, votersCommitTerm),
                    };
                }

                break;

            case MessageType.ReadIndexRequest when own >= 1:
                known = 1;
                if (reader.TryRead(out ulong asked))
                {
                    message = new ReadIndexRequest(from, to, term, asked);
                }

                break;

            case MessageType.ReadIndexResponse when own >= 2:
                known = 2;
                if (reader.TryRead(out ulong answered) && TryReadIndex(ref reader, out ulong readIndex))
                {
                    message = new ReadIndexResponse(from, to, term, answered, readIndex);
                }

                break;

            case MessageType.InstallSnapshot when own >= 4:
                known = 4;
                if (TryReadIndex(ref reader, out ulong snapshotIndex) && TryReadUpTo(ref reader, term, out ulong snapshotTerm)
                    && TryReadUpTo(ref reader, MaxClock, out ulong lastClock) && TryReadConfiguration(ref reader, out ConfState? configuration))
                {
                    message = new InstallSnapshot(
                        from, to, term, new SnapshotMetadata(snapshotIndex, snapshotTerm, lastClock, configuration));
                }

                break;

            case MessageType.FreshnessProof when own >= 3:
                known = 3;
                if (TryReadIndex(ref reader, out ulong provedCommit) && reader.TryRead(out ulong echoIncarnation)
                    && reader.TryRead(out ulong echoTicks))
                {
                    message = new FreshnessProof(from, to, term, provedCommit, new Stamp(echoIncarnation, echoTicks));
                }

                break;

            case MessageType.TimeoutNow:
                message = new TimeoutNow(from, to, term);
                break;
        }

        if (message is null || !reader.TrySkip(own - known))
        {
            return false;
        }

        messages.Add(new PeerMessage(group, epoch, message));
        return true;
    }

    private static bool TryReadEntries(
        ref MessagePackReader reader, ulong prevIndex, ulong prevTerm, ulong leaderTerm,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Entry[]? entries)
    {
        entries = null;
        if (!reader.TryReadArrayHeader(out int count) || count > MaxEntriesPerAppend)
        {
            return false;
        }

        var read = new Entry[count];
        for (int i = 0; i < count; i++)
        {
            // Terms in a log never fall.
            if (!reader.TryReadArrayHeader(out int fields) || fields != 6 || !TryReadUpTo(ref reader, leaderTerm, out ulong term)
                || term < prevTerm || !reader.TryRead(out byte kind) || kind > (byte)EntryKind.ConfChange
                || !reader.TryRead(out ushort featureLevel) || !TryReadUpTo(ref reader, MaxClock, out ulong clock)
                || !reader.TryRead(out uint revisions) || revisions == 0 || !reader.TryReadBin(Limits.MaxPeerFrameBytes, out ReadOnlySpan<byte> payload))
            {
                return false;
            }

            prevTerm = term;
            read[i] = new Entry(term, prevIndex + 1 + (ulong)i, (EntryKind)kind, featureLevel, clock, revisions, payload.ToArray());
        }

        entries = read;
        return true;
    }

    private static bool TryReadConfiguration(
        ref MessagePackReader reader, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ConfState? configuration)
    {
        configuration = null;
        if (!reader.TryReadArrayHeader(out int fields) || fields is not (ConfigurationFields or ConfigurationFieldsWithEpoch)
            || !TryReadReplicas(ref reader, out ReplicaId[] voters)
            || !TryReadReplicas(ref reader, out ReplicaId[] outgoing) || !TryReadReplicas(ref reader, out ReplicaId[] learners)
            || !TryReadReplicas(ref reader, out ReplicaId[] learnersNext) || !reader.TryRead(out bool autoLeave))
        {
            return false;
        }

        ulong epoch = 0;
        ReplicaNode[] nodes = [];
        if (fields == ConfigurationFieldsWithEpoch && !(reader.TryRead(out epoch) && TryReadNodes(ref reader, out nodes)))
        {
            return false;
        }

        configuration = new ConfState(voters, outgoing, learners, learnersNext, autoLeave) { Epoch = epoch, Nodes = nodes };
        return true;
    }

    private static bool TryReadNodes(ref MessagePackReader reader, out ReplicaNode[] nodes)
    {
        nodes = [];
        if (!reader.TryReadArrayHeader(out int count) || count > MaxMembers)
        {
            return false;
        }

        var read = new ReplicaNode[count];
        for (int i = 0; i < count; i++)
        {
            if (!reader.TryReadArrayHeader(out int fields) || fields != 2 || !reader.TryRead(out ulong replica) || !reader.TryRead(out uint node))
            {
                return false;
            }

            read[i] = new ReplicaNode(new ReplicaId(replica), node);
        }

        nodes = read;
        return true;
    }

    private static bool TryReadReplicas(ref MessagePackReader reader, out ReplicaId[] replicas)
    {
        replicas = [];
        if (!reader.TryReadArrayHeader(out int count) || count > MaxReplicas)
        {
            return false;
        }

        var read = new ReplicaId[count];
        for (int i = 0; i < count; i++)
        {
            if (!reader.TryRead(out ulong value))
            {
                return false;
            }

            read[i] = new ReplicaId(value);
        }

        replicas = read;
        return true;
    }
}
