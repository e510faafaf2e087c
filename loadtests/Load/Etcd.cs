using Grpc.Core;

namespace KvStore.LoadTests.Load;

/// <summary>The calls of etcd's version 3 API that the load needs, and their messages (rpc.proto of etcdserverpb; Protocol Buffers, wire types 0 and 2).</summary>
internal static class Etcd
{
    private static readonly Marshaller<byte[]> Bytes = Marshallers.Create(bytes => bytes, bytes => bytes);

    public static Method<byte[], byte[]> Put { get; } = Unary("etcdserverpb.KV", "Put");

    public static Method<byte[], byte[]> Range { get; } = Unary("etcdserverpb.KV", "Range");

    public static Method<byte[], byte[]> Status { get; } = Unary("etcdserverpb.Maintenance", "Status");

    /// <summary>PutRequest: key = 1, value = 2.</summary>
    public static byte[] PutRequest(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        using var to = new MemoryStream(key.Length + value.Length + 8);
        WriteBytes(to, field: 1, key);
        WriteBytes(to, field: 2, value);
        return to.ToArray();
    }

    /// <summary>RangeRequest: key = 1, serializable = 7.</summary>
    public static byte[] RangeRequest(ReadOnlySpan<byte> key, bool serializable)
    {
        using var to = new MemoryStream(key.Length + 8);
        WriteBytes(to, field: 1, key);
        if (serializable)
        {
            to.Write([7 << 3, 1]);
        }

        return to.ToArray();
    }

    /// <summary>StatusResponse: leader = 4, and the member that answers in header = 1 as member_id = 2.</summary>
    public static bool IsLeader(ReadOnlySpan<byte> status)
    {
        ulong leader = 0;
        ulong member = 0;
        while (TryReadField(ref status, out int field, out ulong number, out ReadOnlySpan<byte> bytes))
        {
            leader = field == 4 ? number : leader;
            while (field == 1 && TryReadField(ref bytes, out int inHeader, out ulong id, out _))
            {
                member = inHeader == 2 ? id : member;
            }
        }

        return leader != 0 && leader == member;
    }

    private static Method<byte[], byte[]> Unary(string service, string name) => new(MethodType.Unary, service, name, Bytes, Bytes);

    private static void WriteBytes(MemoryStream to, int field, ReadOnlySpan<byte> bytes)
    {
        to.WriteByte((byte)((field << 3) | 2));
        uint length = (uint)bytes.Length;
        for (; length >= 0x80; length >>= 7)
        {
            to.WriteByte((byte)(length | 0x80));
        }

        to.WriteByte((byte)length);
        to.Write(bytes);
    }

    private static bool TryReadField(ref ReadOnlySpan<byte> from, out int field, out ulong number, out ReadOnlySpan<byte> bytes)
    {
        field = 0;
        number = 0;
        bytes = default;
        if (from.IsEmpty)
        {
            return false;
        }

        ulong tag = ReadNumber(ref from);
        field = (int)(tag >> 3);
        switch (tag & 7)
        {
            case 0:
                number = ReadNumber(ref from);
                return true;
            case 2:
                int length = (int)ReadNumber(ref from);
                bytes = from[..length];
                from = from[length..];
                return true;
            default:
                throw new InvalidDataException($"etcd answered with wire type {tag & 7}, which its status does not have");
        }
    }

    private static ulong ReadNumber(ref ReadOnlySpan<byte> from)
    {
        ulong number = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = from[0];
            from = from[1..];
            number |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return number;
            }
        }
    }
}
