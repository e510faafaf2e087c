using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Who the owner of a data directory is: the file "identity", written before anything else at the first start and the truth
/// from then on. Its payload, in the envelope of <see cref="SmallFile"/>:
/// <code>
///  +------------+--------+------+-------------+-------+---------------------------------------------------+-------+
///  | logCreated | number | uuid | incarnation | name  | clusterId | virtualNodes | groups | rf | names      | level |
///  | u8         | u32    | 16   | u64         | text  | text      | u32          | u32    | u32| u32, texts | u16   |
///  +------------+--------+------+-------------+-------+---------------------------------------------------+-------+
///                                                      the layout                                          version 2
/// </code>
/// Version 1 is written while nothing in the folder needs a feature level above the first, version 2 from then on, before the first
/// byte that does: a program without levels refuses the folder by the version of this file.
/// LogCreated is 0, then 2. A build that keeps no record of its starts (<see cref="StartRecord"/>) takes 2 for true and writes 1 whenever it writes the
/// file, as it does at each of its starts: so 1 says that such a build was the last to count.
/// </summary>
public sealed class NodeIdentity
{
    public const string FileName = "identity";

    /// <summary>Says that the cluster refused this folder, and why; in the envelope of <see cref="SmallFile"/>, version 1, one text.</summary>
    public const string RefusedFileName = "refused";

    private const ushort FirstVersion = 1;
    private const ushort LevelVersion = 2;
    private const string LogFolder = "wal";
    private const byte LogCreatedByOlder = 1;
    private const byte LogCreatedMark = 2;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private StartRecord? _starts;
    private bool _countedByOlder;

    private NodeIdentity(IFileSystem files, string directory, string name, NodeId number, Guid uuid, ClusterLayout layout)
    {
        _files = files;
        _directory = directory;
        Name = name;
        Number = number;
        Uuid = uuid;
        Layout = layout;
    }

    private static ReadOnlySpan<byte> Magic => "KVIDENT\0"u8;

    private static ReadOnlySpan<byte> RefusedMagic => "KVREFUS\0"u8;

    public string Name { get; }
    public NodeId Number { get; }

    /// <summary>
    /// Chosen at random at the first start. A node that comes back with another one has lost its data, its votes included.
    /// </summary>
    public Guid Uuid { get; }
    public ClusterLayout Layout { get; }

    /// <summary>Counts the starts of this directory. Durable before the first stamp, vote or answer of the process.</summary>
    public ulong Incarnation { get; private set; }

    /// <summary>Random per process: tells a reconnect from a second process that claims the same incarnation.</summary>
    public ulong Process { get; private set; }

    /// <summary>The starts of this folder that a peer may have met, this one last: what a hello says of its past.</summary>
    public IReadOnlyList<FolderStart> Starts => _starts!.Known;

    /// <summary>The log's first segment was durable once: from then on a missing log is a loss, not a first start.</summary>
    public bool LogCreated { get; private set; }

    /// <summary>Highest feature level that anything in the folder may need.</summary>
    public ushort Level { get; private set; } = FeatureLevel.First;

    /// <summary>
    /// Takes possession of a node's folder at every start: creates the identity the first time, checks it against the
    /// configuration later, and raises the incarnation. The caller holds the folder's lock.
    /// A folder that the cluster has refused stays out: it is not started again.
    /// </summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">The node's folder; it exists.</param>
    /// <param name="name">The node as the configuration calls it.</param>
    /// <param name="configured">The layout of the configuration.</param>
    /// <param name="freshUuid">Becomes the uuid if this is the first start.</param>
    /// <param name="process">Random per process, not 0.</param>
    /// <param name="maxLevel">Highest feature level this process knows.</param>
    public static NodeIdentity Open(
        IFileSystem files, string directory, string name, ClusterLayout configured, Guid freshUuid, ulong process,
        ushort maxLevel = FeatureLevel.Max)
    {
        var hasLog = WriteAheadLog.Exists(files, $"{directory}/{LogFolder}");
        var identity = Load(files, directory);
        if (identity is null)
        {
            if (hasLog)
            {
                throw new IdentityException(
                    $"{directory} holds a log but no identity file, so nobody can say whose it is; "
                    + "restore the identity file or start with an empty data directory");
            }

            var number = new NodeId(1 + (uint)configured.NodeNames.ToList().IndexOf(name));
            Invariant.Check(!number.IsNone, "the configuration lists the node that is started");
            identity = new NodeIdentity(files, directory, name, number, freshUuid, configured);
        }
        else
        {
            identity.CheckBelongsTo(name, configured);
            identity.CheckNotRefused();
            if (identity.Level > maxLevel)
            {
                throw new IdentityException(
                    $"{directory} may hold data of feature level {identity.Level} and this program knows {maxLevel}; start a newer program"
                    + (maxLevel < FeatureLevel.Max ? ", or this one without upgrade.maxLevel" : string.Empty));
            }

            if (identity.LogCreated && !hasLog)
            {
                throw new IdentityException(
                    $"{directory} belongs to {name} but its log is gone, and with it the votes and entries {name} has promised to keep; "
                    + $"restore {LogFolder}/, or remove {name} from the cluster and join it again with an empty data directory");
            }
        }

        // In this order: a start that only the identity knows of would be taken for one of an older build.
        identity._starts = StartRecord.Begin(files, directory, identity.Incarnation, identity._countedByOlder, process);
        identity.Process = process;
        identity.Incarnation++;
        identity.Save();
        return identity;
    }

    /// <summary>Called once the first segment of the log is durable and before any vote or answer leaves.</summary>
    public void MarkLogCreated()
    {
        if (!LogCreated)
        {
            LogCreated = true;
            Save();
        }
    }

    /// <summary>Called before the first hello of this process leaves: from then on somebody may know this start. Durable on return.</summary>
    public void SayHello() => _starts!.SayHello();

    /// <summary>A peer has let this process in. Durable on return. Not with <see cref="Starts"/> at one time.</summary>
    public void LetInBy(NodeId peer) => _starts!.LetInBy(peer);

    /// <summary>
    /// The cluster has refused this folder for what it lacks: it is never started again as it is. The mark goes with the folder, so one
    /// that is put back in its place is judged anew. Any thread.
    /// </summary>
    public void MarkRefused(string reason)
    {
        var writer = new FieldWriter();
        writer.Text(reason);
        SmallFile.Replace(_files, _directory, RefusedFileName, RefusedMagic, FirstVersion, writer.Written);
    }

    /// <summary>The folder is about to hold something that needs this feature level; durable on return.</summary>
    public void RaiseLevel(ushort level)
    {
        ushort before = Level;
        if (level <= before)
        {
            return;
        }

        Level = level;
        try
        {
            Save();
        }
        catch (StorageException)
        {
            Level = before;
            throw;
        }
    }

    private void CheckBelongsTo(string name, ClusterLayout configured)
    {
        // A foreign cluster first: with it every other difference is to be expected and would only distract.
        if (Layout.ClusterId == configured.ClusterId && Name != name)
        {
            throw new IdentityException($"{_directory} belongs to node {Name} but {name} was started in it; "
                + "give every node a data directory of its own");
        }

        if (Layout.DifferenceFrom(configured) is { } difference)
        {
            throw new IdentityException($"{_directory}: {difference}; "
                + "put the first value back into the configuration, or start with another data directory (--data)");
        }
    }

    private void CheckNotRefused()
    {
        var path = $"{_directory}/{RefusedFileName}";
        if (SmallFile.Read(_files, path, RefusedMagic, FirstVersion, FirstVersion) is { } mark)
        {
            var reader = new FieldReader(mark.Payload, path);
            throw new IdentityException(
                $"the cluster has refused {_directory}: {reader.Text()}. Put the newest folder of {Name} in its place; "
                + $"if this one is the newest, remove {Name} from the cluster and join it again with an empty data directory");
        }
    }

    private static NodeIdentity? Load(IFileSystem files, string directory)
    {
        var path = $"{directory}/{FileName}";
        if (SmallFile.Read(files, path, Magic, FirstVersion, LevelVersion) is not { } stored)
        {
            return null;
        }

        var reader = new FieldReader(stored.Payload, path);
        var logCreated = reader.Byte();
        var number = new NodeId(reader.UInt32());
        var uuid = reader.Uuid();
        var incarnation = reader.UInt64();
        var name = reader.Text();
        var layout = ClusterLayout.Read(ref reader);
        ushort level = stored.Version >= LevelVersion ? reader.UInt16() : FeatureLevel.First;
        reader.End();
        return new NodeIdentity(files, directory, name, number, uuid, layout)
        {
            Incarnation = incarnation,
            LogCreated = logCreated != 0,
            _countedByOlder = logCreated == LogCreatedByOlder,
            Level = level,
        };
    }

    private void Save()
    {
        var writer = new FieldWriter();
        writer.Byte(LogCreated ? LogCreatedMark : (byte)0);
        writer.UInt32(Number.Value);
        writer.Uuid(Uuid);
        writer.UInt64(Incarnation);
        writer.Text(Name);
        Layout.Write(writer);
        if (Level > FeatureLevel.First)
        {
            writer.UInt16(Level);
        }

        SmallFile.Replace(
            _files, _directory, FileName, Magic, Level > FeatureLevel.First ? LevelVersion : FirstVersion, writer.Written);
    }
}
