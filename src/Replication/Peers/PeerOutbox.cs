using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// What one turn sends to one node: one payload of heartbeats (one per round), one of answers, one of other control messages, and the
/// appends, in that order. An append payload is cut when it would pass <see cref="MaxPayloadBytes"/>.
/// </summary>
internal sealed class PeerOutbox(NodeId to, SharedState node, ITransport transport)
{
    private readonly Section _heartbeats = new();
    private readonly Section _answers = new();
    private readonly Section _control = new();
    private readonly Section _appends = new();
    private readonly List<(GroupId Group, ReplicaId Id)> _appendTargets = [];
    private readonly ArrayBufferWriter<byte> _head = new(64);
    private ulong _round;

    public bool IsEmpty => _heartbeats.Count + _answers.Count + _control.Count + _appends.Count == 0;

    public void Add(in PeerMessage item, ushort level, ulong wallMs)
    {
        (GroupId group, ulong epoch) = (item.Group, item.Epoch);
        switch (item.Message)
        {
            case Heartbeat heartbeat:
                if (_heartbeats.Count > 0 && _round != heartbeat.Round)
                {
                    // A turn starts one round, but while the log takes no more, cores keep those of several turns.
                    SendHeartbeats(wallMs);
                }

                _round = heartbeat.Round;
                PeerPayload.WriteHeartbeat(_heartbeats.Items, group, epoch, heartbeat, item.LowestVoterMatch);
                _heartbeats.Count++;
                break;

            case HeartbeatResponse answer:
                PeerPayload.WriteAnswer(_answers.Items, group, epoch, answer);
                _answers.Count++;
                break;

            case AppendEntries { Entries.Count: > 0 } append:
                if (_appends.Items.WrittenCount > MaxPayloadBytes)
                {
                    FlushAppends(wallMs);
                }

                PeerPayload.WriteMessage(_appends.Items, group, epoch, append);
                _appends.Count++;
                for (int i = 0; i < append.Entries.Count; i++)
                {
                    _appends.Level = Math.Max(_appends.Level, append.Entries[i].NeededLevel);
                }

                _appendTargets.Add((group, append.To));
                break;

            default:
                PeerPayload.WriteMessage(_control.Items, group, epoch, item.Message);
                _control.Count++;
                _control.Level = Math.Max(_control.Level, level);
                break;
        }
    }

    /// <summary>
    /// Hands everything to the transport. Appends that it does not take are reported, so that their followers are probed.
    /// </summary>
    public void Flush(ulong wallMs, ulong stampTicks)
    {
        if (_heartbeats.Count > 0)
        {
            SendHeartbeats(wallMs);
        }

        if (_answers.Count > 0)
        {
            DiskReport? disk = node.Peers.Speaks(to, DiskReport.Since) ? node.Fitness.Disk.Report(node.Clock.ElapsedMs()) : null;
            _answers.Level = disk is null ? FeatureLevel.First : DiskReport.Since;
            Send(
                Lane.Control, _answers, PeerPayload.AnswersKind, wallMs, [node.Options.Incarnation, stampTicks], disk,
                disk is null ? null : RoomToSay);
        }

        if (_control.Count > 0)
        {
            RoomReport? room = RoomToSay;
            _control.Level = room is null ? _control.Level : Math.Max(_control.Level, RoomReport.Since);
            Send(Lane.Control, _control, PeerPayload.MessagesKind, wallMs, [], room: room);
        }

        FlushAppends(wallMs);
    }

    private RoomReport? RoomToSay => node.Peers.Speaks(to, RoomReport.Since) ? node.Room.Report : null;

    /// <summary>Replicas whose appends were dropped since the last call.</summary>
    public List<(GroupId Group, ReplicaId Id)> Dropped { get; } = [];

    private void SendHeartbeats(ulong wallMs) =>
        Send(Lane.Control, _heartbeats, PeerPayload.HeartbeatsKind, wallMs, [_round]);

    private void FlushAppends(ulong wallMs)
    {
        if (_appends.Count > 0 && !Send(Lane.Append, _appends, PeerPayload.MessagesKind, wallMs, []))
        {
            Dropped.AddRange(_appendTargets);
        }

        _appendTargets.Clear();
    }

    private bool Send(
        Lane lane, Section section, byte kind, ulong wallMs, ReadOnlySpan<ulong> extra, DiskReport? disk = null,
        RoomReport? room = null)
    {
        _head.ResetWrittenCount();
        var writer = new MessagePackWriter(_head);
        writer.WriteArrayHeader(4 + extra.Length + (disk is null ? 0 : 1) + (room is null ? 0 : 1));
        writer.Write((uint)PeerPayload.Version);
        writer.Write((uint)kind);
        writer.Write(wallMs);
        foreach (ulong field in extra)
        {
            writer.Write(field);
        }

        writer.WriteArrayHeader(section.Count);
        writer.Flush();
        if (disk is not null || room is not null)
        {
            var end = new MessagePackWriter(section.Items);
            disk?.Write(ref end);
            room?.Write(ref end);
            end.Flush();
        }

        byte[] payload = GC.AllocateUninitializedArray<byte>(_head.WrittenCount + section.Items.WrittenCount);
        _head.WrittenSpan.CopyTo(payload);
        section.Items.WrittenSpan.CopyTo(payload.AsSpan(_head.WrittenCount));
        ushort level = section.Level;
        section.Items.ResetWrittenCount();
        section.Count = 0;
        section.Level = FeatureLevel.First;
        return transport.Send(to, lane, payload, level);
    }

    /// <summary>Items of one kind, encoded as they come; the count is written in front of them at the end of the turn.</summary>
    private sealed class Section
    {
        public ArrayBufferWriter<byte> Items { get; } = new();
        public int Count { get; set; }

        /// <summary>Highest level that something in here needs: the connection may be that of an older build by the time it is sent.</summary>
        public ushort Level { get; set; } = FeatureLevel.First;
    }

    /// <summary>Appends to one peer in one payload; each message is at most 256 KiB, or one larger entry.</summary>
    private const int MaxPayloadBytes = 1 << 20;
}
