using System.Buffers;
using PackageReader = MessagePack.MessagePackReader;
using PackageType = MessagePack.MessagePackType;
using PackageWriter = MessagePack.MessagePackWriter;

namespace KvStore.Protocol.Tests;

/// <summary>
/// MessagePack as a tree of null, bool, integers, double, string, byte[] and object?[]: read and written by the package
/// (MessagePack 2.5, written by others), and by our reader and writer. No line of one side is used by the other.
/// </summary>
internal static class MessagePackTree
{
    private const byte FirstNegativeFixInt = 0xE0;
    private const byte FirstSignedForm = 0xD0;

    /// <summary>One line to compare and to show: [1, x'666F6F', nil, "text"].</summary>
    public static string TextOf(object? tree) => tree switch
    {
        null => "nil",
        bool flag => flag ? "true" : "false",
        string text => $"\"{text}\"",
        byte[] bytes => $"x'{Convert.ToHexString(bytes)}'",
        object?[] items => $"[{string.Join(", ", items.Select(TextOf))}]",
        double number => $"{number:R}f",
        _ => $"{tree}",
    };

    public static object? ReadByPackage(byte[] bytes)
    {
        var reader = new PackageReader(bytes);
        object? tree = ReadByPackage(ref reader);
        return reader.End ? tree : throw new InvalidDataException($"{bytes.Length - reader.Consumed} bytes follow the value");
    }

    public static byte[] WriteByPackage(object? tree)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new PackageWriter(buffer);
        WriteByPackage(ref writer, tree);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    public static object? ReadByUs(byte[] bytes)
    {
        var reader = new MessagePackReader(bytes);
        object? tree = ReadByUs(ref reader);
        return reader.AtEnd ? tree : throw new InvalidDataException($"{reader.Remaining.Length} bytes follow the value");
    }

    public static byte[] WriteByUs(object? tree)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        WriteByUs(ref writer, tree);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static object? ReadByPackage(ref PackageReader reader)
    {
        switch (reader.NextMessagePackType)
        {
            case PackageType.Nil:
                reader.ReadNil();
                return null;
            case PackageType.Boolean:
                return reader.ReadBoolean();
            case PackageType.Integer:
                bool signed = reader.NextCode is >= FirstNegativeFixInt or (>= FirstSignedForm and < 0xD4);
                return signed ? reader.ReadInt64() : (object)reader.ReadUInt64();
            case PackageType.Float:
                return reader.ReadDouble();
            case PackageType.String:
                return reader.ReadString();
            case PackageType.Binary:
                return reader.ReadBytes()!.Value.ToArray();
            case PackageType.Array:
                var items = new object?[reader.ReadArrayHeader()];
                for (int i = 0; i < items.Length; i++)
                {
                    items[i] = ReadByPackage(ref reader);
                }

                return items;
            default:
                throw new InvalidDataException($"no body holds a value of type {reader.NextMessagePackType}");
        }
    }

    private static void WriteByPackage(ref PackageWriter writer, object? tree)
    {
        switch (tree)
        {
            case null:
                writer.WriteNil();
                break;
            case bool flag:
                writer.Write(flag);
                break;
            case ulong number:
                writer.Write(number);
                break;
            case long or int or uint:
                writer.Write(Convert.ToInt64(tree));
                break;
            case double number:
                writer.Write(number);
                break;
            case string text:
                writer.Write(text);
                break;
            case byte[] bytes:
                writer.Write(bytes);
                break;
            case object?[] items:
                writer.WriteArrayHeader(items.Length);
                foreach (object? item in items)
                {
                    WriteByPackage(ref writer, item);
                }

                break;
            default:
                throw new ArgumentException($"{tree.GetType()} is not in the format", nameof(tree));
        }
    }

    private static object? ReadByUs(ref MessagePackReader reader)
    {
        byte code = reader.Remaining[0];
        bool ok;
        object? value;
        switch (code)
        {
            case MessagePackCode.Nil:
                ok = reader.TryReadNil(out _);
                value = null;
                break;
            case MessagePackCode.True or MessagePackCode.False:
                ok = reader.TryRead(out bool flag);
                value = flag;
                break;
            case MessagePackCode.Float32 or MessagePackCode.Float64:
                ok = reader.TryRead(out double real);
                value = real;
                break;
            case >= MessagePackCode.Bin8 and <= MessagePackCode.Bin32:
                ok = reader.TryReadBin(int.MaxValue, out var bin);
                value = bin.ToArray();
                break;
            case (>= MessagePackCode.FixStr and < MessagePackCode.Nil) or (>= MessagePackCode.Str8 and <= MessagePackCode.Str32):
                ok = reader.TryReadString(int.MaxValue, out string text);
                value = text;
                break;
            case (>= MessagePackCode.FixArray and < MessagePackCode.FixStr) or MessagePackCode.Array16 or MessagePackCode.Array32:
                ok = reader.TryReadArrayHeader(out int count);
                object?[] items = new object?[count];
                for (int i = 0; i < count; i++)
                {
                    items[i] = ReadByUs(ref reader);
                }

                value = items;
                break;
            case >= MessagePackCode.Int8 and <= MessagePackCode.Int64 or >= MessagePackCode.NegativeFixInt:
                ok = reader.TryRead(out long number);
                value = number;
                break;
            default:
                ok = reader.TryRead(out ulong natural);
                value = natural;
                break;
        }

        return ok ? value : throw new InvalidDataException($"{reader.Result} at {reader.Consumed}");
    }

    private static void WriteByUs(ref MessagePackWriter writer, object? tree)
    {
        switch (tree)
        {
            case null:
                writer.WriteNil();
                break;
            case bool flag:
                writer.Write(flag);
                break;
            case ulong number:
                writer.Write(number);
                break;
            case long or int or uint:
                writer.Write(Convert.ToInt64(tree));
                break;
            case double number:
                writer.Write(number);
                break;
            case string text:
                writer.Write(text);
                break;
            case byte[] bytes:
                writer.Write(bytes);
                break;
            case object?[] items:
                writer.WriteArrayHeader(items.Length);
                foreach (object? item in items)
                {
                    WriteByUs(ref writer, item);
                }

                break;
            default:
                throw new ArgumentException($"{tree.GetType()} is not in the format", nameof(tree));
        }
    }
}
