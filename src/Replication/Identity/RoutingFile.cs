using System.Security.Cryptography;
using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// The table a node started with: the file "routing", written at the first start and the truth from then on. Zones and
/// weights shape the table only then; later they may change in the configuration without moving a replica. Payload, in the
/// envelope of <see cref="SmallFile"/>, version 1:
/// <code>
///  +-------+--------------+---------------------+--------+---------------------------------------------+
///  | epoch | virtualNodes | group of each       | groups | per group: replicas, then (replica id, node) |
///  | u64   | u32          | u32 × virtualNodes  | u32    | u32, (u64, u32) × replicas                   |
///  +-------+--------------+---------------------+--------+---------------------------------------------+
/// </code>
/// </summary>
public static class RoutingFile
{
    public const string FileName = "routing";

    private const ushort Version = 1;

    private static ReadOnlySpan<byte> Magic => "KVROUTE\0"u8;

    /// <summary>The stored table; at the first start what <paramref name="plan"/> says, durable on return.</summary>
    public static RoutingTable Open(IFileSystem files, string directory, NodeIdentity identity, Func<RoutingTable> plan)
    {
        string path = $"{directory}/{FileName}";
        if (SmallFile.Read(files, path, Magic, Version, Version) is { } stored)
        {
            return Decode(stored.Payload, path);
        }

        if (identity.LogCreated)
        {
            throw new IdentityException(
                $"{path} is gone, and with it which replicas {identity.Name} holds; "
                + $"restore it, or remove {identity.Name} from the cluster and join it again with an empty data directory");
        }

        RoutingTable table = plan();
        SmallFile.Replace(files, directory, FileName, Magic, Version, Encode(table));
        return table;
    }

    /// <summary>Equal on nodes that started with the same table; part of what peers compare before they listen to each other.</summary>
    public static byte[] Hash(RoutingTable table) => SHA256.HashData(Encode(table));

    private static byte[] Encode(RoutingTable table)
    {
        var writer = new FieldWriter();
        writer.UInt64(table.Epoch);
        writer.UInt32((uint)table.VirtualNodeCount);
        for (int v = 0; v < table.VirtualNodeCount; v++)
        {
            writer.UInt32(table.GroupOf(v).Value);
        }

        writer.UInt32((uint)table.GroupCount);
        for (uint g = 1; g <= table.GroupCount; g++)
        {
            IReadOnlyList<ReplicaPlacement> replicas = table.ReplicasOf(new GroupId(g));
            writer.UInt32((uint)replicas.Count);
            foreach (ReplicaPlacement replica in replicas)
            {
                writer.UInt64(replica.ReplicaId);
                writer.UInt32(replica.Node.Value);
            }
        }

        return writer.Written.ToArray();
    }

    private static RoutingTable Decode(byte[] payload, string path)
    {
        var reader = new FieldReader(payload, path);
        ulong epoch = reader.UInt64();
        var groupOfVirtualNode = new GroupId[reader.UInt32()];
        for (int v = 0; v < groupOfVirtualNode.Length; v++)
        {
            groupOfVirtualNode[v] = new GroupId(reader.UInt32());
        }

        var replicas = new IReadOnlyList<ReplicaPlacement>[1 + reader.UInt32()];
        replicas[0] = [];
        for (int g = 1; g < replicas.Length; g++)
        {
            var group = new ReplicaPlacement[reader.UInt32()];
            for (int r = 0; r < group.Length; r++)
            {
                group[r] = new ReplicaPlacement(reader.UInt64(), new NodeId(reader.UInt32()));
            }

            replicas[g] = group;
        }

        reader.End();
        return new RoutingTable(epoch, groupOfVirtualNode, replicas);
    }
}
