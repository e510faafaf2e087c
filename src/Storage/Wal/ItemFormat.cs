using System.Buffers.Binary;
using System.Text;
using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>What an item of a batch is. Numbers are stored and never reused.</summary>
internal enum ItemKind : ushort
{
    Entries = 1,
    HardState = 2,
    SnapshotMark = 3,
    Compact = 4,

    Replica = 5,

    // Reserved. No build has written it; a reader that meets one refuses to start.
    NodeMeta = 7,

    Rewritten = 8,
}

/// <summary>The point a group's log starts after: what was at Index is known, the entry itself is not kept.</summary>
internal readonly record struct LogStart(ulong Index, ulong Term, ulong LastClock)
{
    public static LogStart After(SnapshotMetadata snapshot) => new(snapshot.Index, snapshot.Term, snapshot.LastClock);
}

/// <summary>
/// The items of a batch. Each starts at a multiple of 8 with the same header:
/// <code>
/// offset  bytes  field
///      0      2  kind (<see cref="ItemKind"/>)
///      2      2  flags, by kind
///      4      4  group
///      8      4  length of the item in bytes, this header included, a multiple of 8
///     12      4  count, by kind
///     16      …  body
///
/// Entries       count = entries          first index u64 | term at first index - 1, u64 | entries (<see cref="EntryFormat"/>)
///               Replaces the group's log from the first index on.
/// Rewritten     as Entries; each of them is in the log already, and nothing behind them changes
/// HardState                              term u64 | vote u64 | commit u64
/// SnapshotMark  count = file name bytes  index u64 | term u64 | last clock u64
///               flags: 1 = auto-leave,   | voters u16 | outgoing u16 | learners u16 | learners next u16
///                      2 = has a file,   | replica ids u64 … in that order
///                      4 = has an epoch  | with flag 4: epoch u64 | nodes u64 | nodes × (replica id u64, node u64)
///                      or nodes          | file name, UTF-8, zero-filled to a multiple of 8
/// Compact                                index u64 | term u64 | last clock u64 | last index u64
///               The log holds exactly the entries (index, last index]; term and clock are those at index.
/// Replica                                replica id u64 | epoch u64 | term u64 | vote u64 | commit u64
///               The group's log belongs to this replica and has this hard state. What is known of another replica's log is
///               void from here on. Id 0: the replica is gone, and nothing follows until another one comes.
/// </code>
/// Compact names both ends: a snapshot installed over a log that contradicts it empties the log (last index = index), and
/// a checkpoint must not bring back a tail that was cut. Rewritten is no Entries record, because that would cut what
/// follows: a group would have to write its whole log again to move one old entry.
/// </summary>
internal static class ItemFormat
{
    public const int HeaderBytes = 16;
    public const int HardStateBytes = HeaderBytes + 24;
    public const int CompactBytes = HeaderBytes + 32;
    public const int ReplicaBytes = HeaderBytes + 40;
    public const int EntriesPrefixBytes = HeaderBytes + 16;

    private const int MarkPrefixBytes = HeaderBytes + 32;
    private const ushort AutoLeaveFlag = 1;
    private const ushort HasFileFlag = 2;

    /// <summary>Not set while there is nothing to say: then the mark is the one that every build reads.</summary>
    private const ushort HasEpochFlag = 4;

    private const int EpochPrefixBytes = 16;
    private const int NodeBytes = 16;

    public static int MarkBytes(SnapshotMetadata snapshot, string? file)
    {
        ConfState c = snapshot.Configuration;
        int ids = c.Voters.Count + c.VotersOutgoing.Count + c.Learners.Count + c.LearnersNext.Count;
        int epochBytes = c.HasEpochOrNodes ? EpochPrefixBytes + c.Nodes.Count * NodeBytes : 0;
        return MarkPrefixBytes + ids * sizeof(ulong) + epochBytes + Align(file is null ? 0 : Encoding.UTF8.GetByteCount(file));
    }

    public static void WriteHardState(Span<byte> item, uint group, HardState state)
    {
        WriteHeader(item, ItemKind.HardState, 0, group, HardStateBytes, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(item[16..], state.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(item[24..], state.Vote.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(item[32..], state.Commit);
    }

    public static HardState ReadHardState(ReadOnlySpan<byte> item) => new(
        BinaryPrimitives.ReadUInt64LittleEndian(item[16..]),
        new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(item[24..])),
        BinaryPrimitives.ReadUInt64LittleEndian(item[32..]));

    public static void WriteReplica(Span<byte> item, uint group, ReplicaRecord record, HardState state)
    {
        WriteHeader(item, ItemKind.Replica, 0, group, ReplicaBytes, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(item[16..], record.Replica.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(item[24..], record.Epoch);
        BinaryPrimitives.WriteUInt64LittleEndian(item[32..], state.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(item[40..], state.Vote.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(item[48..], state.Commit);
    }

    public static (ReplicaRecord Record, HardState State) ReadReplica(ReadOnlySpan<byte> item) => (
        new ReplicaRecord(
            new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(item[16..])), BinaryPrimitives.ReadUInt64LittleEndian(item[24..])),
        new HardState(
            BinaryPrimitives.ReadUInt64LittleEndian(item[32..]),
            new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(item[40..])),
            BinaryPrimitives.ReadUInt64LittleEndian(item[48..])));

    public static void WriteCompact(Span<byte> item, uint group, LogStart start, ulong lastIndex)
    {
        WriteHeader(item, ItemKind.Compact, 0, group, CompactBytes, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(item[16..], start.Index);
        BinaryPrimitives.WriteUInt64LittleEndian(item[24..], start.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(item[32..], start.LastClock);
        BinaryPrimitives.WriteUInt64LittleEndian(item[40..], lastIndex);
    }

    public static (LogStart Start, ulong LastIndex) ReadCompact(ReadOnlySpan<byte> item) => (
        new LogStart(
            BinaryPrimitives.ReadUInt64LittleEndian(item[16..]),
            BinaryPrimitives.ReadUInt64LittleEndian(item[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(item[32..])),
        BinaryPrimitives.ReadUInt64LittleEndian(item[40..]));

    public static void WriteMark(Span<byte> item, uint group, SnapshotMetadata snapshot, string? file)
    {
        ConfState c = snapshot.Configuration;
        int fileBytes = file is null ? 0 : Encoding.UTF8.GetByteCount(file);
        ushort flags = (ushort)(
            (c.AutoLeave ? AutoLeaveFlag : 0) | (file is null ? 0 : HasFileFlag) | (c.HasEpochOrNodes ? HasEpochFlag : 0));
        WriteHeader(item, ItemKind.SnapshotMark, flags, group, MarkBytes(snapshot, file), (uint)fileBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(item[16..], snapshot.Index);
        BinaryPrimitives.WriteUInt64LittleEndian(item[24..], snapshot.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(item[32..], snapshot.LastClock);
        int at = MarkPrefixBytes;
        int countAt = 40;
        ReadOnlySpan<IReadOnlyList<ReplicaId>> lists = [c.Voters, c.VotersOutgoing, c.Learners, c.LearnersNext];
        foreach (IReadOnlyList<ReplicaId> ids in lists)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(item[countAt..], checked((ushort)ids.Count));
            countAt += sizeof(ushort);
            foreach (ReplicaId id in ids)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(item[at..], id.Value);
                at += sizeof(ulong);
            }
        }

        if (c.HasEpochOrNodes)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(item[at..], c.Epoch);
            BinaryPrimitives.WriteUInt64LittleEndian(item[(at + 8)..], (ulong)c.Nodes.Count);
            at += EpochPrefixBytes;
            foreach (ReplicaNode node in c.Nodes)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(item[at..], node.Id.Value);
                BinaryPrimitives.WriteUInt64LittleEndian(item[(at + 8)..], node.Node);
                at += NodeBytes;
            }
        }

        if (file is not null)
        {
            Encoding.UTF8.GetBytes(file, item[at..]);
            item.Slice(at + fileBytes, Align(fileBytes) - fileBytes).Clear();
        }
    }

    /// <summary>False when the counts do not add up to the item's length.</summary>
    public static bool TryReadMark(ReadOnlySpan<byte> item, out SnapshotMetadata? snapshot, out string? file)
    {
        snapshot = null;
        file = null;
        if (item.Length < MarkPrefixBytes)
        {
            return false;
        }

        ushort flags = BinaryPrimitives.ReadUInt16LittleEndian(item[2..]);
        uint fileBytes = BinaryPrimitives.ReadUInt32LittleEndian(item[12..]);
        ReplicaId[][] lists = new ReplicaId[4][];
        int at = MarkPrefixBytes;
        for (int list = 0; list < lists.Length; list++)
        {
            int count = BinaryPrimitives.ReadUInt16LittleEndian(item[(40 + list * sizeof(ushort))..]);
            if (count > (item.Length - at) / sizeof(ulong))
            {
                return false;
            }

            lists[list] = new ReplicaId[count];
            for (int i = 0; i < count; i++)
            {
                lists[list][i] = new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(item[at..]));
                at += sizeof(ulong);
            }
        }

        ulong epoch = 0;
        ReplicaNode[] nodes = [];
        if ((flags & HasEpochFlag) != 0 && !TryReadEpoch(item, ref at, out epoch, out nodes))
        {
            return false;
        }

        if (fileBytes > item.Length || at + Align((int)fileBytes) != item.Length)
        {
            return false;
        }

        ConfState configuration = new(lists[0], lists[1], lists[2], lists[3], (flags & AutoLeaveFlag) != 0) { Epoch = epoch, Nodes = nodes };
        snapshot = new SnapshotMetadata(
            BinaryPrimitives.ReadUInt64LittleEndian(item[16..]),
            BinaryPrimitives.ReadUInt64LittleEndian(item[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(item[32..]),
            configuration);
        file = (flags & HasFileFlag) != 0 ? Encoding.UTF8.GetString(item.Slice(at, (int)fileBytes)) : null;
        return true;
    }

    private static bool TryReadEpoch(ReadOnlySpan<byte> item, ref int at, out ulong epoch, out ReplicaNode[] nodes)
    {
        epoch = 0;
        nodes = [];
        if (item.Length - at < EpochPrefixBytes)
        {
            return false;
        }

        epoch = BinaryPrimitives.ReadUInt64LittleEndian(item[at..]);
        ulong count = BinaryPrimitives.ReadUInt64LittleEndian(item[(at + 8)..]);
        at += EpochPrefixBytes;
        if (count > (ulong)((item.Length - at) / NodeBytes))
        {
            return false;
        }

        nodes = new ReplicaNode[count];
        for (int i = 0; i < nodes.Length; i++)
        {
            ulong node = BinaryPrimitives.ReadUInt64LittleEndian(item[(at + 8)..]);
            if (node > uint.MaxValue)
            {
                return false;
            }

            nodes[i] = new ReplicaNode(new ReplicaId(BinaryPrimitives.ReadUInt64LittleEndian(item[at..])), (uint)node);
            at += NodeBytes;
        }

        return true;
    }

    public static void WriteEntriesPrefix(
        Span<byte> item, ItemKind kind, uint group, int length, int count, ulong firstIndex, ulong previousTerm)
    {
        WriteHeader(item, kind, 0, group, length, (uint)count);
        BinaryPrimitives.WriteUInt64LittleEndian(item[16..], firstIndex);
        BinaryPrimitives.WriteUInt64LittleEndian(item[24..], previousTerm);
    }

    public static (uint Count, ulong FirstIndex, ulong PreviousTerm) ReadEntriesPrefix(ReadOnlySpan<byte> item) => (
        BinaryPrimitives.ReadUInt32LittleEndian(item[12..]),
        BinaryPrimitives.ReadUInt64LittleEndian(item[16..]),
        BinaryPrimitives.ReadUInt64LittleEndian(item[24..]));

    /// <summary>Kind, group and length of the item that starts here; false when it does not fit into what is left of the batch.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> rest, out ItemKind kind, out uint group, out int length)
    {
        kind = default;
        group = 0;
        length = 0;
        if (rest.Length < HeaderBytes)
        {
            return false;
        }

        kind = (ItemKind)BinaryPrimitives.ReadUInt16LittleEndian(rest);
        group = BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]);
        uint stated = BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]);
        length = (int)Math.Min(stated, int.MaxValue);
        return stated >= HeaderBytes && stated <= rest.Length && stated % 8 == 0;
    }

    private static int Align(int bytes) => (bytes + 7) & ~7;

    private static void WriteHeader(Span<byte> item, ItemKind kind, ushort flags, uint group, int length, uint count)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(item, (ushort)kind);
        BinaryPrimitives.WriteUInt16LittleEndian(item[2..], flags);
        BinaryPrimitives.WriteUInt32LittleEndian(item[4..], group);
        BinaryPrimitives.WriteUInt32LittleEndian(item[8..], (uint)length);
        BinaryPrimitives.WriteUInt32LittleEndian(item[12..], count);
    }
}
