using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Which starts of this folder others may have met: the file "starts". A peer lets the folder in again only if the start it has met is
/// among them, so a copy that lacks it stays out however often it is started. The pair of a start is written before the first hello
/// of its process leaves: a start that never got so far does not push an older one out. Payload in the envelope of
/// <see cref="SmallFile"/>, version 1:
/// <code>
///  +---------+-------+----------------------------+-------+------------------------------------+
///  | counted | count | incarnation | process      | count | node | incarnation | process       |
///  | u64     | u32   | u64         | u64          | u32   | u32  | u64         | u64           |
///  +---------+-------+----------------------------+-------+------------------------------------+
///            the last starts, by incarnation        for each peer the start it has let in last
/// </code>
/// Counted is the newest start by a build that keeps this file. It is written before the identity counts that start, so where the identity
/// has counted further, builds of before have run in the folder: their starts are known by number only. So is that of the number counted here,
/// when such a build was the last to count in the identity and no start of ours said hello under it: ours was cut short between the two
/// files, and the other took its number. Not thread-safe.
/// </summary>
internal sealed class StartRecord
{
    public const string FileName = "starts";

    /// <summary>Starts that a folder remembers, besides the last one that each peer has let in.</summary>
    public const int KeptStarts = 64;

    /// <summary>Pairs in a hello; in a larger cluster the oldest of those that a single peer let in are left out.</summary>
    public const int MaxInHello = 128;

    private const ushort Version = 1;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly SortedDictionary<ulong, ulong> _starts = [];
    private readonly SortedDictionary<uint, FolderStart> _letInBy = [];
    private readonly FolderStart _own;
    private ulong _counted;

    private StartRecord(IFileSystem files, string directory, FolderStart own)
    {
        (_files, _directory, _own) = (files, directory, own);
    }

    private static ReadOnlySpan<byte> Magic => "KVSTART\0"u8;

    /// <summary>What a hello says: the starts that somebody may have met, and this one, by incarnation.</summary>
    public IReadOnlyList<FolderStart> Known
    {
        get
        {
            IEnumerable<FolderStart> kept = _starts.Select(start => new FolderStart(start.Key, start.Value));
            return [.. kept.Concat(_letInBy.Values).Append(_own).Distinct().OrderBy(start => start.Incarnation).TakeLast(MaxInHello)];
        }
    }

    /// <summary>A start begins that the identity has not counted yet; durable on return.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">The node's folder.</param>
    /// <param name="countedBefore">The starts that the identity has counted.</param>
    /// <param name="countedByOlder">The last of them is one of a build that keeps no record.</param>
    /// <param name="process">Random per process.</param>
    public static StartRecord Begin(IFileSystem files, string directory, ulong countedBefore, bool countedByOlder, ulong process)
    {
        var record = new StartRecord(files, directory, new FolderStart(countedBefore + 1, process));
        record.Load();
        bool tookItsNumber = countedByOlder && record._counted > 0 && !record._starts.ContainsKey(record._counted);
        ulong known = tookItsNumber ? record._counted - 1 : record._counted;
        for (ulong unrecorded = Math.Max(known, countedBefore - Math.Min(countedBefore, KeptStarts)) + 1; unrecorded <= countedBefore; unrecorded++)
        {
            record._starts[unrecorded] = 0;
        }

        record._counted = Math.Max(record._counted, countedBefore + 1);
        record.Save();
        return record;
    }

    /// <summary>The first hello of this process is about to leave; durable on return.</summary>
    public void SayHello()
    {
        _starts[_own.Incarnation] = _own.Process;
        Save();
    }

    /// <summary>A peer has let this process in, and forgets the earlier ones. Durable on return; costs nothing when it is known.</summary>
    public void LetInBy(NodeId peer)
    {
        if (!_letInBy.TryGetValue(peer.Value, out FolderStart known) || known != _own)
        {
            _letInBy[peer.Value] = _own;
            try
            {
                Save();
            }
            catch (StorageException)
            {
                // The next hello tries again; until then the start is among the last ones in any case.
                _letInBy.Remove(peer.Value);
                if (known != default)
                {
                    _letInBy[peer.Value] = known;
                }

                throw;
            }
        }
    }

    private void Load()
    {
        string path = $"{_directory}/{FileName}";
        if (SmallFile.Read(_files, path, Magic, Version, Version) is not { } stored)
        {
            return;
        }

        var reader = new FieldReader(stored.Payload, path);
        _counted = reader.UInt64();
        for (int left = reader.Count(); left > 0; left--)
        {
            _starts[reader.UInt64()] = reader.UInt64();
        }

        for (int left = reader.Count(); left > 0; left--)
        {
            _letInBy[reader.UInt32()] = new FolderStart(reader.UInt64(), reader.UInt64());
        }

        reader.End();
    }

    private void Save()
    {
        while (_starts.Count > KeptStarts)
        {
            _starts.Remove(_starts.First().Key);
        }

        var writer = new FieldWriter();
        writer.UInt64(_counted);
        writer.UInt32((uint)_starts.Count);
        foreach ((ulong incarnation, ulong process) in _starts)
        {
            writer.UInt64(incarnation);
            writer.UInt64(process);
        }

        writer.UInt32((uint)_letInBy.Count);
        foreach ((uint peer, FolderStart start) in _letInBy)
        {
            writer.UInt32(peer);
            writer.UInt64(start.Incarnation);
            writer.UInt64(start.Process);
        }

        SmallFile.Replace(_files, _directory, FileName, Magic, Version, writer.Written);
    }
}
