using System.Buffers;
using FsCheck;
using FsCheck.Fluent;
using PackageWriter = MessagePack.MessagePackWriter;

namespace KvStore.Protocol.Tests;

/// <summary>
/// That our bytes are MessagePack is not ours to say: an implementation by others reads every body field by field, writes the same
/// bytes, and agrees on what is refused.
/// </summary>
public sealed class OracleTests
{
    internal const int DamagedInputs = 20_000;

    private static readonly Config Config = FsCheck.Config.QuickThrowOnFailure.WithMaxTest(1_000);

    public static TheoryData<string> Bodies => [.. SampleBodies.All.Select(body => body.Name)];

    [Theory]
    [MemberData(nameof(Bodies))]
    public void The_package_reads_the_fields_of_a_body_and_writes_the_same_bytes(string name)
    {
        foreach (var (bytes, fields) in BodyOf(name).Samples)
        {
            AssertSameFieldsAndBytes(bytes, fields);
            Assert.Equal(DecodeResult.Ok, BodyOf(name).Decode(MessagePackTree.WriteByPackage(fields)));
        }
    }

    [Fact]
    public void Every_operation_has_a_sample_of_its_body() => AssertEveryOperationHasASample(OperationTable.All);

    [Fact]
    public void Every_result_has_a_sample() => AssertEveryResultHasASample(
        typeof(Result).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Result)) && !type.IsAbstract));

    [Theory]
    [MemberData(nameof(Bodies))]
    public void The_package_writes_the_bytes_of_random_bodies(string name)
    {
        const int Seed = 99_101;
        var random = new Random(Seed);
        for (int i = 0; i < 500; i++)
        {
            byte[] bytes = BodyOf(name).Random(random);
            Assert.True(MessagePackTree.WriteByPackage(MessagePackTree.ReadByPackage(bytes)).AsSpan().SequenceEqual(bytes), $"seed {Seed}, case {i}");
        }
    }

    [Theory]
    [MemberData(nameof(Bodies))]
    public void The_package_refuses_what_we_refuse_but_for_the_known_differences(string name)
    {
        AssertEveryOperationHasARule(OperationTable.All);
        var body = BodyOf(name);
        var seen = CompareVerdicts(body.Rule, body.Decode, body.Random, seed: 99_102);
        Assert.True(seen.Accepted > 100 && seen.Refused > 100, $"{seen}: too few of one kind to say anything");
    }

    [Fact]
    public void Each_known_difference_is_one()
    {
        // [reason, detail] of a refusal, and [role, …, credentials bin] of a client's hello.
        var refusal = BodyOf("HelloRefused");
        var hello = BodyOf("Hello of a client");
        byte[] notUtf8 = [0x92, 0x01, 0xA1, 0xFF];
        byte[] str = MessagePackTree.WriteByPackage(new object?[] { 2, 1, 1, "c", "n", 0, "s" });
        byte[] nil = MessagePackTree.WriteByPackage(new object?[] { 2, 1, 1, "c", "n", 0, null });
        AssertOnlyThePackageTakes(refusal, notUtf8, KnownDifference.NotUtf8);
        AssertOnlyThePackageTakes(hello, str, KnownDifference.StrForBin);
        AssertOnlyThePackageTakes(hello, nil, KnownDifference.NilForBin);
    }

    [Fact]
    public void A_result_of_fewer_fields_than_its_kind_has_takes_none_from_behind_it()
    {
        foreach (var body in SampleBodies.All.Where(body => body.Name.StartsWith("Result ", StringComparison.Ordinal)))
        {
            foreach (var (bytes, _) in body.Samples)
            {
                for (int header = 0x90; header < bytes[0]; header++)
                {
                    byte[] shorter = [(byte)header, .. bytes[1..]];
                    Assert.False(body.Rule.Accepts(shorter, out _));
                    Assert.True(body.Decode(shorter) == DecodeResult.Malformed, $"{body.Name}: {header & 0x0F} fields");
                }
            }
        }
    }

    [Fact]
    public void A_longer_form_is_read_around_an_operation_and_nowhere_in_it()
    {
        // [key bin, condition kind, condition revision], alone, in a request, and in a batch in a request.
        byte[] shortest = [0x93, 0xC4, 0x01, (byte)'k', 0x01, 0x07];
        byte[][] longer =
        [
            [0x93, 0xC4, 0x01, (byte)'k', 0xCC, 0x01, 0x07], [0x93, 0xC4, 0x01, (byte)'k', 0x01, 0xD0, 0x07],
            [0x93, 0xC5, 0x00, 0x01, (byte)'k', 0x01, 0x07], [0xDC, 0x00, 0x03, 0xC4, 0x01, (byte)'k', 0x01, 0x07],
        ];
        var (delete, batch, request) = (BodyOf("Operation delete"), BodyOf("Operation batch"), BodyOf("Request"));
        Assert.Equal(DecodeResult.Ok, delete.Decode(shortest));
        Assert.Equal(DecodeResult.Ok, batch.Decode(BatchOf(shortest)));
        Assert.Equal(DecodeResult.Ok, request.Decode(RequestOf(3, shortest)));
        Assert.Equal(DecodeResult.Ok, request.Decode(RequestOf(5, BatchOf(shortest))));
        foreach (byte[] body in longer)
        {
            AssertOnlyThePackageTakes(delete, body, KnownDifference.LongerForm);
            AssertOnlyThePackageTakes(batch, BatchOf(body), KnownDifference.LongerForm);
            AssertOnlyThePackageTakes(request, RequestOf(3, body), KnownDifference.LongerForm);
            AssertOnlyThePackageTakes(request, RequestOf(5, BatchOf(body)), KnownDifference.LongerForm);
        }

        // The number of the operation belongs to the body of a batch, and to the envelope of a request.
        byte[] item = [.. BatchOf(shortest)[..2], 0xCC, .. BatchOf(shortest)[2..]];
        AssertOnlyThePackageTakes(batch, item, KnownDifference.LongerForm);
        byte[] number = [.. RequestOf(3, shortest)[..2], 0xCC, .. RequestOf(3, shortest)[2..]];
        byte[] header = [0xDC, 0x00, 0x0B, .. RequestOf(3, shortest)[1..]];
        foreach (byte[] envelope in new[] { number, header })
        {
            Assert.True(request.Rule.Accepts(envelope, out var met));
            Assert.Equal(KnownDifference.None, met);
            Assert.Equal(DecodeResult.Ok, request.Decode(envelope));
        }

        static byte[] BatchOf(byte[] body) => MessagePackTree.WriteByPackage(new object?[] { new object?[] { 3, body } });

        static byte[] RequestOf(int code, byte[] body) => MessagePackTree.WriteByPackage(
            new object?[] { new object?[] { code, body }, null, 5000, 1, 0, null, 0, null, 0, null, null });
    }

    [Fact]
    public void A_hello_without_a_level_is_of_level_1_and_what_follows_a_level_is_passed_over()
    {
        foreach (var (name, before, levelOf) in new (string, int, Func<byte[], ushort?>)[]
        {
            ("Hello of a peer", 13, input => HelloCodec.TryDecode(input, out PeerHello? hello) == DecodeResult.Ok ? hello!.Level : null),
            ("Hello of a client", 7, input => HelloCodec.TryDecode(input, out ClientHello? hello) == DecodeResult.Ok ? hello!.Level : null),
            ("HelloAck", 9, input => HelloCodec.TryDecode(input, out HelloAck? ack) == DecodeResult.Ok ? ack!.Level : null),
        })
        {
            object?[] fields = BodyOf(name).Samples[0].Fields[..before];
            Assert.Equal(FeatureLevel.First, levelOf(MessagePackTree.WriteByPackage(fields)));
            Assert.Equal((ushort)700, levelOf(MessagePackTree.WriteByPackage((object?[])[.. fields, 700])));
            Assert.Equal((ushort)700, levelOf(MessagePackTree.WriteByPackage((object?[])[.. fields, 700, null, null, null, "more"])));
            Assert.Null(levelOf(MessagePackTree.WriteByPackage(fields[..^1])));
        }
    }

    [Fact]
    public void Any_integer_in_any_form_of_the_package_is_read()
    {
        var property = Prop.ForAll(ArbMap.Default.ArbFor<ulong>(), ArbMap.Default.ArbFor<byte>(), (seed, shift) =>
        {
            ulong natural = (seed * 0x9E3779B97F4A7C15) >> (shift % 64);
            long number = -(long)(natural >> 1) - 1;
            AssertReadInEveryForm(natural);
            AssertReadInEveryForm(number);
        });
        Check.One(Config, property);
    }

    [Fact]
    public void Any_tree_is_the_same_bytes_to_both()
    {
        const int Seed = 99_103;
        var random = new Random(Seed);
        for (int i = 0; i < 500; i++)
        {
            object? tree = RandomTree(random, depth: 4);
            byte[] theirs = MessagePackTree.WriteByPackage(tree);
            string because = $"seed {Seed}, case {i}: {MessagePackTree.TextOf(tree)}";
            Assert.True(theirs.AsSpan().SequenceEqual(MessagePackTree.WriteByUs(tree)), because);
            Assert.True(MessagePackTree.TextOf(MessagePackTree.ReadByUs(theirs)) == MessagePackTree.TextOf(tree), because);
            Assert.True(MessagePackTree.TextOf(MessagePackTree.ReadByPackage(theirs)) == MessagePackTree.TextOf(tree), because);
        }
    }

    internal static SampleBody BodyOf(string name) => SampleBodies.All.SingleOrDefault(body => body.Name == name)
        ?? throw new InvalidOperationException($"add an entry for \"{name}\" to SampleBodies.All");

    internal static void AssertEveryOperationHasASample(IEnumerable<OperationRow> rows)
    {
        // All that are missing, so that a control which adds one of its own sees that.
        var missing = rows.Where(row => !SampleBodies.All.Any(body => body.Name == "Operation " + row.Name && body.Samples.Length > 0));
        Assert.True(!missing.Any(), $"add a sample of the body to SampleBodies.All for {NamesOf(missing)}");
    }

    /// <summary>In every place where it may stand: a rule that lacks it refuses what our reader takes.</summary>
    internal static void AssertEveryOperationHasARule(IEnumerable<OperationRow> rows)
    {
        var missing = rows.Where(row => !SampleBodies.Requested.Contains(row.Code));
        Assert.True(!missing.Any(), $"add a case to the rule SampleBodies.Operation for {NamesOf(missing)}");
        missing = rows.Where(row => row.Type.IsSubclassOf(typeof(KeyWrite)) && !SampleBodies.InBatches.Contains(row.Code));
        Assert.True(!missing.Any(), $"add a case to the rule SampleBodies.BatchItems for {NamesOf(missing)}");
        missing = rows.Where(row => (row.IsRead || row.Type.IsSubclassOf(typeof(KeyWrite))) && !SampleBodies.InTransactions.Contains(row.Code));
        Assert.True(!missing.Any(), $"add a case to the rule SampleBodies.TransactionItems for {NamesOf(missing)}");
    }

    private static string NamesOf(IEnumerable<OperationRow> rows) => string.Join("; ", rows.Select(row => $"operation {row.Code}, {row.Name}"));

    internal static void AssertEveryResultHasASample(IEnumerable<Type> results)
    {
        foreach (var result in results)
        {
            bool has = SampleBodies.All.Any(body => body.Name == "Result " + result.Name && body.Samples.Length > 0);
            Assert.True(has, $"SampleBodies has no sample of the result {result.Name}");
        }
    }

    internal static void AssertSameFieldsAndBytes(byte[] bytes, object?[] fields)
    {
        Assert.Equal(MessagePackTree.TextOf(fields), MessagePackTree.TextOf(MessagePackTree.ReadByPackage(bytes)));
        Assert.Equal(Convert.ToHexString(MessagePackTree.WriteByPackage(fields)), Convert.ToHexString(bytes));
    }

    /// <summary>Fails at the first input on which the two disagree for no known reason.</summary>
    internal static (int Accepted, int Refused, int Known) CompareVerdicts(
        BodyRule rule, Func<byte[], DecodeResult> decode, Func<Random, byte[]> valid, int seed)
    {
        (int accepted, int refused, int known) = (0, 0, 0);
        foreach (byte[] input in FuzzTests.Damaged(seed, valid, DamagedInputs).Concat(Undamaged(seed, valid)))
        {
            bool theirs = rule.Accepts(input, out var met);
            bool ours = decode(input) == DecodeResult.Ok;
            Assert.False(theirs && ours && met != KnownDifference.None, $"{met} accepted by us, seed {seed}: {Convert.ToHexString(input)}");
            if (theirs == ours)
            {
                accepted += ours ? 1 : 0;
                refused += ours ? 0 : 1;
                continue;
            }

            known++;
            string verdict = ours ? "accepted by us alone" : "accepted by the package alone";
            Assert.True(!ours && met != KnownDifference.None, $"{verdict}, seed {seed}: {Convert.ToHexString(input)}");
        }

        return (accepted, refused, known);
    }

    private static IEnumerable<byte[]> Undamaged(int seed, Func<Random, byte[]> valid)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, 200).Select(_ => valid(random));
    }

    private static void AssertOnlyThePackageTakes(SampleBody body, byte[] input, KnownDifference difference)
    {
        Assert.True(body.Rule.Accepts(input, out var met));
        Assert.Equal(difference, met);
        Assert.Equal(DecodeResult.Malformed, body.Decode(input));
    }

    private static void AssertReadInEveryForm(ulong value)
    {
        foreach (byte[] form in FormsOf(value))
        {
            var reader = new MessagePackReader(form);
            Assert.True(reader.TryRead(out ulong back) && back == value && reader.AtEnd, $"{value} as {Convert.ToHexString(form)}");
        }
    }

    private static void AssertReadInEveryForm(long value)
    {
        foreach (byte[] form in FormsOf(value))
        {
            var reader = new MessagePackReader(form);
            Assert.True(reader.TryRead(out long back) && back == value && reader.AtEnd, $"{value} as {Convert.ToHexString(form)}");
        }
    }

    private static IEnumerable<byte[]> FormsOf(ulong value)
    {
        yield return Written((ref PackageWriter writer) => writer.Write(value));
        yield return Written((ref PackageWriter writer) => writer.WriteUInt64(value));
        if (value <= uint.MaxValue)
        {
            yield return Written((ref PackageWriter writer) => writer.WriteUInt32((uint)value));
        }

        if (value <= ushort.MaxValue)
        {
            yield return Written((ref PackageWriter writer) => writer.WriteUInt16((ushort)value));
        }

        if (value <= byte.MaxValue)
        {
            yield return Written((ref PackageWriter writer) => writer.WriteUInt8((byte)value));
        }
    }

    private static IEnumerable<byte[]> FormsOf(long value)
    {
        yield return Written((ref PackageWriter writer) => writer.Write(value));
        yield return Written((ref PackageWriter writer) => writer.WriteInt64(value));
        if (value >= int.MinValue)
        {
            yield return Written((ref PackageWriter writer) => writer.WriteInt32((int)value));
        }

        if (value >= short.MinValue)
        {
            yield return Written((ref PackageWriter writer) => writer.WriteInt16((short)value));
        }

        if (value >= sbyte.MinValue)
        {
            yield return Written((ref PackageWriter writer) => writer.WriteInt8((sbyte)value));
        }
    }

    private delegate void WriteSome(ref PackageWriter writer);

    private static byte[] Written(WriteSome write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new PackageWriter(buffer);
        write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    // Lengths around the limits of the short forms; numbers uniform in length, so that every form occurs.
    private static object? RandomTree(Random random, int depth)
    {
        int[] lengths = [0, 1, 15, 16, 31, 32, 255, 256, random.Next(300), random.Next(70_000)];
        int length = lengths[random.Next(lengths.Length)];
        ulong number = (ulong)random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64);
        switch (random.Next(depth > 0 ? 8 : 6))
        {
            case 0:
                return null;
            case 1:
                return random.Next(2) == 0;
            case 2:
                return number;
            case 3:
                return -(long)(number >> 1) - 1;
            case 4:
                byte[] bytes = new byte[length];
                random.NextBytes(bytes);
                return bytes;
            case 5:
                return random.Next(8) == 0 ? random.NextDouble() : string.Concat(Enumerable.Repeat("aé€😀"[..random.Next(1, 3)], length / 4));
            default:
                return Enumerable.Range(0, Math.Min(length, 40)).Select(_ => RandomTree(random, depth - 3)).ToArray();
        }
    }
}
