using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>Fields of the small files: numbers little-endian, a text as u32 length and UTF-8.</summary>
internal sealed class FieldWriter
{
    private readonly ArrayBufferWriter<byte> _buffer = new();

    public ReadOnlySpan<byte> Written => _buffer.WrittenSpan;

    public void Byte(byte value) => _buffer.Write([value]);

    public void UInt16(ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(_buffer.GetSpan(sizeof(ushort)), value);
        _buffer.Advance(sizeof(ushort));
    }

    public void UInt32(uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(_buffer.GetSpan(sizeof(uint)), value);
        _buffer.Advance(sizeof(uint));
    }

    public void UInt64(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(_buffer.GetSpan(sizeof(ulong)), value);
        _buffer.Advance(sizeof(ulong));
    }

    public void Uuid(Guid value) => _buffer.Write(value.ToByteArray(bigEndian: true));

    public void Text(string value)
    {
        var bytes = Encoding.UTF8.GetBytes(value);
        UInt32((uint)bytes.Length);
        _buffer.Write(bytes);
    }
}

/// <summary>
/// Reads what <see cref="FieldWriter"/> wrote. The checksum has been verified before, so a field that does not fit means a
/// program error or a file made by hand: still an error with the file's name, never an overrun.
/// </summary>
internal ref struct FieldReader(ReadOnlySpan<byte> data, string path)
{
    private ReadOnlySpan<byte> _rest = data;

    public byte Byte() => Take(1)[0];

    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(sizeof(ushort)));

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint)));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));

    public Guid Uuid() => new(Take(16), bigEndian: true);

    public string Text() => Encoding.UTF8.GetString(Take(Count()));

    /// <summary>A length or a number of items: never more than bytes are left.</summary>
    public int Count()
    {
        var count = UInt32();
        return count <= (uint)_rest.Length ? (int)count : throw Short();
    }

    public readonly void End()
    {
        if (!_rest.IsEmpty)
        {
            throw Short();
        }
    }

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > _rest.Length)
        {
            throw Short();
        }

        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }

    private readonly CorruptStorageException Short() => new("fields do not fill the file as they should", path, 0);
}
