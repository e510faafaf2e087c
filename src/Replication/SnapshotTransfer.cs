using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Ask for the snapshot of a group, at least up to MinIndex: from Offset of (Index, Term), or any from its start when Index is
/// 0.
/// </summary>
internal sealed class SnapshotPull(NodeId from, GroupId group, ulong minIndex, ulong index, ulong term, long offset) : InboxItem
{
    public NodeId From => from;
    public GroupId Group => group;
    public ulong MinIndex => minIndex;
    public ulong Index => index;
    public ulong Term => term;
    public long Offset => offset;
}

/// <summary>A piece of a snapshot file, of TotalBytes in all; TotalBytes 0 says that the sender has none that would do.</summary>
internal sealed class SnapshotPiece(NodeId from, GroupId group, ulong index, ulong term, long offset, long totalBytes, byte[] bytes) : InboxItem
{
    public NodeId From => from;
    public GroupId Group => group;
    public ulong Index => index;
    public ulong Term => term;
    public long Offset => offset;
    public long TotalBytes => totalBytes;
    public byte[] Bytes => bytes;
}

/// <summary>A replica needs a snapshot up to MinIndex at least, and believes Source has one. Repeated until the replica has it.</summary>
internal sealed class SnapshotFetch(Replica replica, ShardLoop loop, string directory, ulong minIndex, NodeId source) : InboxItem
{
    public Replica Replica => replica;
    public ShardLoop Loop => loop;
    public string Directory => directory;
    public ulong MinIndex => minIndex;
    public NodeId Source => source;
}

/// <summary>The replica of this group has no more use for the snapshot it asked for.</summary>
internal sealed class SnapshotNotWanted(GroupId group) : InboxItem
{
    public GroupId Group => group;
}

/// <summary>
/// Snapshots between nodes. The receiver pulls one piece after the other into a temporary file, so a slow receiver slows only
/// itself; a lost piece is asked for again from where the file ends; when the source has a newer snapshot meanwhile, the
/// fetch starts over with that. A whole file is checked, header, footer and every block, before it gets its name.
/// </summary>
internal sealed class SnapshotTransfer(IFileSystem files, StoreNode node) : IDisposable
{
    private readonly Dictionary<GroupId, Incoming> _incoming = [];

    private sealed class Incoming(SnapshotFetch fetch)
    {
        public SnapshotFetch Fetch { get; set; } = fetch;
        public ulong Index { get; set; }
        public ulong Term { get; set; }
        public long Offset { get; set; }
        public IFile? File { get; set; }

        /// <summary>A piece came since the replica last reminded us.</summary>
        public bool MovedSinceReminder { get; set; }
    }

    public void Serve(SnapshotPull pull, int maxBytes)
    {
        string directory = node.SnapshotDirectory(pull.Group);
        (ulong index, ulong term, string? name) = Newest(directory);
        if (pull.Index != 0 && files.Exists($"{directory}/{SnapshotName.Of(pull.Index, pull.Term)}"))
        {
            (index, term, name) = (pull.Index, pull.Term, SnapshotName.Of(pull.Index, pull.Term));
        }

        if (name is null || index < pull.MinIndex)
        {
            Send(pull.From, SnapshotPayload.Piece(pull.Group, 0, 0, 0, 0, []));
            return;
        }

        using IFile file = files.Open($"{directory}/{name}");
        long offset = index == pull.Index && term == pull.Term ? Math.Min(pull.Offset, file.Length) : 0;
        byte[] bytes = new byte[Math.Min(maxBytes, file.Length - offset)];
        file.Read(bytes, offset);
        Send(pull.From, SnapshotPayload.Piece(pull.Group, index, term, offset, file.Length, bytes));
    }

    public void Begin(SnapshotFetch fetch)
    {
        if (!_incoming.TryGetValue(fetch.Replica.Group, out Incoming? incoming))
        {
            if (_incoming.Count >= MaxFetches)
            {
                return;
            }

            _incoming.Add(fetch.Replica.Group, incoming = new Incoming(fetch));
        }
        else if (incoming.MovedSinceReminder)
        {
            incoming.MovedSinceReminder = false;
            return;
        }

        incoming.Fetch = fetch;
        Pull(incoming);
    }

    public void Forget(SnapshotNotWanted end)
    {
        if (_incoming.Remove(end.Group, out Incoming? incoming) && incoming.File is { } file)
        {
            file.Dispose();
            files.Delete(PartPath(incoming));
        }
    }

    public void OnPiece(SnapshotPiece piece)
    {
        if (!_incoming.TryGetValue(piece.Group, out Incoming? incoming) || piece.TotalBytes == 0 || piece.Index < incoming.Fetch.MinIndex)
        {
            return;
        }

        if (piece.Index != incoming.Index || piece.Term != incoming.Term)
        {
            if (piece.Offset != 0)
            {
                return;
            }

            StartFile(incoming, piece);
        }

        if (piece.Offset != incoming.Offset || piece.Offset + piece.Bytes.Length > piece.TotalBytes)
        {
            return;
        }

        incoming.File!.Write(piece.Bytes, piece.Offset);
        incoming.Offset += piece.Bytes.Length;
        incoming.MovedSinceReminder = true;
        if (incoming.Offset < piece.TotalBytes)
        {
            Pull(incoming);
        }
        else
        {
            Finish(incoming);
        }
    }

    public void Dispose()
    {
        foreach (Incoming incoming in _incoming.Values)
        {
            incoming.File?.Dispose();
        }
    }

    private void Pull(Incoming incoming) => Send(
        incoming.Fetch.Source,
        SnapshotPayload.Pull(incoming.Fetch.Replica.Group, incoming.Fetch.MinIndex, incoming.Index, incoming.Term, incoming.Offset));

    private void StartFile(Incoming incoming, SnapshotPiece piece)
    {
        string path = PartPath(incoming);
        incoming.File?.Dispose();
        if (files.Exists(path))
        {
            files.Delete(path);
        }

        DurableDirectory.Create(files, incoming.Fetch.Directory);
        incoming.File = files.Create(path);
        (incoming.Index, incoming.Term, incoming.Offset) = (piece.Index, piece.Term, 0);
    }

    private void Finish(Incoming incoming)
    {
        SnapshotFetch fetch = incoming.Fetch;
        _incoming.Remove(fetch.Replica.Group);
        incoming.File!.Sync();
        incoming.File.Dispose();
        string part = PartPath(incoming);
        if (Checked(part, fetch.Replica.Group, incoming) is not { } header)
        {
            // Whatever damaged it on the way, the next reminder starts over.
            files.Delete(part);
            return;
        }

        string name = SnapshotName.Of(incoming.Index, incoming.Term);
        files.Rename(part, $"{fetch.Directory}/{name}");
        files.SyncDirectory(fetch.Directory);
        fetch.Loop.Post(new SnapshotWritten(fetch.Replica, header, name, fetched: true));
    }

    private SnapshotHeader? Checked(string path, GroupId group, Incoming incoming)
    {
        try
        {
            using SnapshotReader reader = SnapshotReader.Open(files, path);
            while (reader.MoveNext())
            {
                // Every block is checked on the way.
            }

            SnapshotHeader header = reader.Header;
            return header.Group == group.Value && header.Metadata.Index == incoming.Index && header.Metadata.Term == incoming.Term ? header : null;
        }
        catch (CorruptStorageException)
        {
            return null;
        }
    }

    private (ulong Index, ulong Term, string? Name) Newest(string directory)
    {
        (ulong Index, ulong Term, string? Name) newest = (0, 0, null);
        foreach (string name in files.ListFiles(directory))
        {
            if (SnapshotName.TryParse(name, out ulong index, out ulong term) && index > newest.Index)
            {
                newest = (index, term, name);
            }
        }

        return newest;
    }

    private static string PartPath(Incoming incoming) => $"{incoming.Fetch.Directory}/{PartName}";

    private void Send(NodeId to, ReadOnlyMemory<byte> payload) => node.Transport.Send(to, Lane.Append, payload);

    /// <summary>A snapshot on its way in; nobody reads it under this name.</summary>
    internal const string PartName = "incoming.part";

    /// <summary>Snapshots fetched at one time; further groups wait for their next reminder.</summary>
    private const int MaxFetches = 2;
}
