using System.Collections;
using System.Reflection;

namespace KvStore.Protocol.Tests;

/// <summary>
/// The digest of a write names all that is asked: two writes that can be told apart by anything one can read of them have different
/// digests, and two that cannot have the same. The neighbours of each random write are every body that one changed byte makes and a
/// reader takes, so each field changes alone, in items too. What can be read of a write is found by reflection: a property that is not
/// in the body would be seen.
/// </summary>
public sealed class DigestPropertyTests
{
    private const int Seed = 90_210;
    private const int WritesPerOperation = 40;

    public static TheoryData<string> Writes => [.. OperationTable.All.Where(row => row.IsWrite).Select(row => row.Name)];

    [Theory]
    [MemberData(nameof(Writes))]
    public void A4_all_that_can_be_read_of_a_write_is_in_its_digest(string name)
    {
        (int neighbours, string? fault) = Check(name, RequestDigest.OfBody);
        Assert.Null(fault);
        Assert.True(neighbours > WritesPerOperation * 20, $"only {neighbours} neighbours of {name} could be read");
    }

    /// <summary>
    /// The same of digests as the doors say them and as level 1 keeps them, with the default content type spelled out or not: whichever of
    /// them is on record, a copy is the same request and a neighbour another one. The key is in the id and not in the older digest.
    /// </summary>
    [Theory]
    [MemberData(nameof(Writes))]
    public void B1_no_pair_of_digests_takes_one_write_for_another(string name)
    {
        var random = new Random(Seed);
        int neighbours = 0;
        for (int i = 0; i < WritesPerOperation; i++)
        {
            var write = (WriteOperation)Of(name, random);
            if (Slips(write, write, same: true) is { } own)
            {
                Assert.Fail($"seed {Seed}, write {i}: {own} of {View(write)}");
            }

            foreach (WriteOperation other in Neighbours(write).Cast<WriteOperation>().Where(other => other.Key.Span.SequenceEqual(write.Key.Span)))
            {
                neighbours++;
                if (View(write) != View(other) && Slips(write, other, same: false) is { } slip)
                {
                    Assert.Fail($"seed {Seed}, write {i}: {slip}, {View(write)} | {View(other)}");
                }
            }
        }

        Assert.True(neighbours > WritesPerOperation * 5, $"only {neighbours} neighbours of {name} could be read");
    }

    private static string? Slips(WriteOperation recorded, WriteOperation copy, bool same)
    {
        foreach (RequestDigest first in Said(recorded))
        {
            foreach (RequestDigest second in Said(copy))
            {
                if (second.Contradicts(first, copy) == same)
                {
                    return $"{first} and {second}";
                }
            }
        }

        return null;
    }

    private static IEnumerable<RequestDigest> Said(WriteOperation write)
    {
        foreach (string? type in write is Put { ContentType: not null } typed ? (string?[])[typed.ContentType] : [null, StoredValue.OctetStream])
        {
            RequestDigest said = write.DigestAsSaid(type);
            yield return said;
            if (write.Flat is { } flat)
            {
                yield return said.AtLevel1(flat);
            }
        }
    }

    /// <summary>The control: a digest that lists fields by hand and forgets a batch's items is caught.</summary>
    [Fact]
    public void A4_a_digest_that_leaves_the_items_out_is_caught()
    {
        (_, string? fault) = Check("batch", operation => RequestDigest.OfFields(operation.Flat!.Value));
        Assert.NotNull(fault);
    }

    /// <summary>The control: so is one that takes the key and the number of the operation only.</summary>
    [Theory]
    [MemberData(nameof(Writes))]
    public void A_digest_of_the_key_alone_is_caught(string name)
    {
        (_, string? fault) = Check(name, operation => RequestDigest.OfBody(new UnknownOperation(operation.Code, operation.Key)));
        Assert.NotNull(fault);
    }

    /// <summary>The control: and one that holds more than what is asked, so that a retry looks like another request.</summary>
    [Fact]
    public void A_digest_of_the_object_is_caught()
    {
        int made = 0;
        (_, string? fault) = Check("put", _ => new RequestDigest(DigestAlgorithm.Body, (ulong)++made));
        Assert.NotNull(fault);
    }

    private static (int Neighbours, string? Fault) Check(string name, Func<Operation, RequestDigest> digestOf)
    {
        var random = new Random(Seed);
        int neighbours = 0;
        for (int i = 0; i < WritesPerOperation; i++)
        {
            Operation write = Of(name, random);
            string seen = View(write);
            RequestDigest digest = digestOf(write);
            if (digestOf(OperationTable.TryRead(write.Code, write.Body.ToArray())!) != digest)
            {
                return (neighbours, $"seed {Seed}, write {i}: read back it has another digest: {seen}");
            }

            foreach (Operation other in Neighbours(write))
            {
                neighbours++;
                string otherSeen = View(other);
                if (seen == otherSeen != (digestOf(other) == digest))
                {
                    return (neighbours, $"seed {Seed}, write {i}: {seen} | {otherSeen}");
                }
            }
        }

        return (neighbours, null);
    }

    private static Operation Of(string name, Random random)
    {
        while (true)
        {
            Operation operation = Samples.RandomOperation(random);
            if (OperationTable.Find(operation.Code)!.Name == name)
            {
                return operation;
            }
        }
    }

    private static IEnumerable<Operation> Neighbours(Operation write)
    {
        byte[] body = write.Body.ToArray();
        for (int at = 0; at < body.Length; at++)
        {
            foreach (int change in (int[])[1, 2, 128])
            {
                byte[] changed = [.. body];
                changed[at] ^= (byte)change;
                if (OperationTable.TryRead(write.Code, changed) is { } other)
                {
                    yield return other;
                }
            }
        }
    }

    /// <summary>Everything public of an operation but its bytes, as text.</summary>
    private static string View(object? value) => value switch
    {
        null => "nil",
        ReadOnlyMemory<byte> bytes => Convert.ToHexString(bytes.Span),
        string or ValueType and IFormattable => value.ToString()!,
        bool flag => flag.ToString(),
        IEnumerable items => "[" + string.Join(",", items.Cast<object?>().Select(View)) + "]",
        _ => value.GetType().Name + "{" + string.Join(
            ",",
            value.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance)
                .Where(property => property.Name is not (nameof(Operation.Body) or nameof(Operation.Youngest)) && property.GetIndexParameters().Length == 0)
                .OrderBy(property => property.Name, StringComparer.Ordinal)
                .Select(property => property.Name + "=" + View(property.GetValue(value)))) + "}",
    };
}
