using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace KvStore.Node.Doors;

/// <summary>
/// Whom connections are counted for: an IPv4 address, or the first 64 bits of an IPv6 address, which is what one customer or machine is
/// given as a whole.
/// </summary>
internal readonly record struct AddressKey(ulong High, ulong Low)
{
    public static AddressKey Of(EndPoint? remote)
    {
        if (remote is not IPEndPoint { Address: var address })
        {
            return default;
        }

        address = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int length);
        return address.AddressFamily == AddressFamily.InterNetwork && length == 4
            ? new AddressKey(0, 1UL << 32 | BinaryPrimitives.ReadUInt32BigEndian(bytes))
            : new AddressKey(BinaryPrimitives.ReadUInt64BigEndian(bytes), 0);
    }
}
