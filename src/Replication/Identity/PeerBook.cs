using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What a node says about itself when it connects.</summary>
/// <param name="Node">Its number.</param>
/// <param name="Uuid">Of its data directory.</param>
/// <param name="Incarnation">Raised and synced at every start.</param>
/// <param name="Process">Random per process: tells a reconnect from a second process that claims the same incarnation.</param>
public readonly record struct PeerIdentity(NodeId Node, Guid Uuid, ulong Incarnation, ulong Process);

/// <summary>
/// Which data directory and which start of it stood behind each peer so far: the file "peers". A peer is admitted only after
/// what it says is durable here, so no vote of it can be counted and then forgotten about. The start that is known here must be one of those
/// that the peer's folder remembers: a number alone can be outgrown by starting an old copy often enough. Not thread-safe: the caller
/// admits one peer at a time. Payload in the envelope of <see cref="SmallFile"/>, version 1:
/// <code>
///  +-------+------------------------------------------+
///  | count | node | uuid | incarnation | process      |  count times, by node number
///  | u32   | u32  | 16   | u64         | u64          |
///  +-------+------------------------------------------+
/// </code>
/// </summary>
public sealed class PeerBook
{
    public const string FileName = "peers";

    /// <summary>
    /// Starts by which a peer may be ahead of what is known of it, 0 when nothing is: what is admitted is written down for good, so a number that no
    /// node reaches would make the true one an old copy for ever. A node that is started again every second needs 18 hours for so many.
    /// </summary>
    public const ulong MaxIncarnationJump = 1 << 16;

    private const ushort Version = 1;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly SortedDictionary<uint, PeerIdentity> _peers = [];

    private PeerBook(IFileSystem files, string directory)
    {
        _files = files;
        _directory = directory;
    }

    /// <summary>How often more was said than is believed.</summary>
    public long IncarnationsRefused { get; private set; }

    private static ReadOnlySpan<byte> Magic => "KVPEERS\0"u8;

    public static PeerBook Open(IFileSystem files, string directory)
    {
        var book = new PeerBook(files, directory);
        var path = $"{directory}/{FileName}";
        if (SmallFile.Read(files, path, Magic, Version, Version) is { } stored)
        {
            var reader = new FieldReader(stored.Payload, path);
            for (var left = reader.Count(); left > 0; left--)
            {
                var peer = new PeerIdentity(new NodeId(reader.UInt32()), reader.Uuid(), reader.UInt64(), reader.UInt64());
                book._peers[peer.Node.Value] = peer;
            }

            reader.End();
        }

        return book;
    }

    /// <summary>
    /// Null: the peer is admitted, and what it said is durable. UuidChanged: it has forgotten its votes and must not vote again
    /// under the old name. IncarnationTooOld: what it said and voted since its copy was made is missing. IncarnationTooHigh: it is not believed, and
    /// counted.
    /// </summary>
    /// <exception cref="StorageException">It could not be written down, so the peer is not admitted.</exception>
    /// <param name="peer">What it says of itself.</param>
    /// <param name="starts">
    /// The starts that its folder remembers. None: a build that keeps no record of them, and only the number speaks.
    /// </param>
    public HelloRefusal? Admit(PeerIdentity peer, IReadOnlyList<FolderStart> starts)
    {
        if (_peers.TryGetValue(peer.Node.Value, out var known))
        {
            if (known.Uuid != peer.Uuid)
            {
                return HelloRefusal.UuidChanged;
            }

            if (!IsBelievable(peer.Incarnation, known.Incarnation))
            {
                return HelloRefusal.IncarnationTooHigh;
            }

            var sameProcess = known.Incarnation == peer.Incarnation && known.Process == peer.Process;
            if (!sameProcess && (peer.Incarnation <= known.Incarnation || !Remembers(starts, known)))
            {
                return HelloRefusal.IncarnationTooOld;
            }

            if (sameProcess)
            {
                return null;
            }
        }
        else if (!IsBelievable(peer.Incarnation, known: 0))
        {
            return HelloRefusal.IncarnationTooHigh;
        }

        _peers[peer.Node.Value] = peer;
        try
        {
            Save();
        }
        catch (StorageException)
        {
            // Not durable, so not known: it is let in by none of its next hellos either.
            if (known == default)
            {
                _peers.Remove(peer.Node.Value);
            }
            else
            {
                _peers[peer.Node.Value] = known;
            }

            throw;
        }

        return null;
    }

    /// <summary>
    /// The same for a peer of a build that does not say which process it is: what it says is compared, and not written down.
    /// </summary>
    public HelloRefusal? Recognize(NodeId peer, Guid uuid, ulong incarnation)
    {
        bool isKnown = _peers.TryGetValue(peer.Value, out var known);
        return isKnown && known.Uuid != uuid ? HelloRefusal.UuidChanged
            : isKnown && incarnation < known.Incarnation ? HelloRefusal.IncarnationTooOld
            : IsBelievable(incarnation, known.Incarnation) ? null
            : HelloRefusal.IncarnationTooHigh;
    }

    private bool IsBelievable(ulong incarnation, ulong known)
    {
        bool isBelievable = incarnation <= known || incarnation - known <= MaxIncarnationJump;
        IncarnationsRefused += isBelievable ? 0 : 1;
        return isBelievable;
    }

    private static bool Remembers(IReadOnlyList<FolderStart> starts, PeerIdentity known) =>
        starts.Count == 0
        || starts.Any(start => start.Incarnation == known.Incarnation && (start.Process == known.Process || start.Process == 0));

    private void Save()
    {
        var writer = new FieldWriter();
        writer.UInt32((uint)_peers.Count);
        foreach (var peer in _peers.Values)
        {
            writer.UInt32(peer.Node.Value);
            writer.Uuid(peer.Uuid);
            writer.UInt64(peer.Incarnation);
            writer.UInt64(peer.Process);
        }

        SmallFile.Replace(_files, _directory, FileName, Magic, Version, writer.Written);
    }
}
