using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace KvStore.Architecture.Tests;

/// <summary>What a built assembly refers to, read from its metadata: what the compiler really used, not what a csproj allows.</summary>
internal static class BuiltAssembly
{
    public static string PathOf(string project) => Path.Combine(AppContext.BaseDirectory, $"KvStore.{project}.dll");

    public static IReadOnlyList<string> ReferencesOf(string project) => Read(project, metadata =>
        metadata.AssemblyReferences.Select(handle => metadata.GetString(metadata.GetAssemblyReference(handle).Name)).Order().ToList());

    /// <summary>Every member of another assembly that is called or read, as Namespace.Type.Member.</summary>
    public static IReadOnlyList<string> MembersUsedBy(string project) => Read(project, metadata =>
        metadata.MemberReferences
            .Select(metadata.GetMemberReference)
            .Select(member => $"{TypeName(metadata, member.Parent)}.{metadata.GetString(member.Name)}")
            .Distinct().Order().ToList());

    private static T Read<T>(string project, Func<MetadataReader, T> read)
    {
        using var file = new PEReader(File.OpenRead(PathOf(project)));
        return read(file.GetMetadataReader());
    }

    private static string TypeName(MetadataReader metadata, EntityHandle parent)
    {
        switch (parent.Kind)
        {
            case HandleKind.TypeReference:
                var type = metadata.GetTypeReference((TypeReferenceHandle)parent);
                return $"{metadata.GetString(type.Namespace)}.{metadata.GetString(type.Name)}";
            case HandleKind.TypeSpecification:
                // A generic type: the signature starts with GENERICINST, CLASS or VALUETYPE, then the type itself.
                var signature = metadata.GetBlobReader(metadata.GetTypeSpecification((TypeSpecificationHandle)parent).Signature);
                return signature.ReadSignatureTypeCode() == SignatureTypeCode.GenericTypeInstance && signature.ReadByte() > 0
                    ? TypeName(metadata, signature.ReadTypeHandle())
                    : string.Empty;
            default:
                return string.Empty;
        }
    }
}
