using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace KvStore.Protocol.Tests;

public sealed class MessagePackProperties
{
    private static readonly Config Config = FsCheck.Config.QuickThrowOnFailure.WithMaxTest(1_000);

    [Fact]
    public void Any_text_comes_back_as_its_valid_UTF8()
    {
        var property = Prop.ForAll(ArbMap.Default.ArbFor<string?>(), text =>
        {
            var reader = new MessagePackReader(Bytes((ref writer) => writer.Write(text)));
            return reader.TryReadOptionalString(int.MaxValue, out string? back) && reader.AtEnd
                && back == (text is null ? null : Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)));
        });
        Check.One(Config, property);
    }

    [Fact]
    public void Any_two_values_in_a_row_come_back_in_order()
    {
        var property = Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), ArbMap.Default.ArbFor<long>(), (bytes, number) =>
        {
            var reader = new MessagePackReader(Bytes((ref writer) =>
            {
                writer.Write(bytes);
                writer.Write(number);
            }));
            return reader.TryReadBin(int.MaxValue, out var bin) && bin.SequenceEqual(bytes)
                && reader.TryRead(out long back) && back == number && reader.AtEnd;
        });
        Check.One(Config, property);
    }

    [Fact]
    public void The_form_of_a_number_is_the_shortest_that_holds_it()
    {
        var property = Prop.ForAll(ArbMap.Default.ArbFor<ulong>(), ArbMap.Default.ArbFor<byte>(), (seed, shift) =>
        {
            ulong value = (seed * 0x9E3779B97F4A7C15) >> (shift % 64);
            int expected = value switch { < 128 => 1, <= byte.MaxValue => 2, <= ushort.MaxValue => 3, <= uint.MaxValue => 5, _ => 9 };
            return Bytes((ref writer) => writer.Write(value)).Length == expected;
        });
        Check.One(Config, property);
    }

    private delegate void WriteSome(ref MessagePackWriter writer);

    private static byte[] Bytes(WriteSome write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}
