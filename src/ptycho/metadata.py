"""Door: ``MetadataManager``, what a file of older software says about itself."""

from ptycho.interop import metadata

__all__ = ["MetadataManager"]


class MetadataManager:
    """The functions of `ptycho.interop.metadata` under the name that older scripts know."""

    create_metadata = staticmethod(metadata.create_metadata)
    save_with_metadata = staticmethod(metadata.save_with_metadata)
    load_with_metadata = staticmethod(metadata.load_with_metadata)
    validate_parameters = staticmethod(metadata.validate_parameters)
    add_transformation_record = staticmethod(metadata.add_transformation_record)
    get_nphotons = staticmethod(metadata.get_nphotons)
    merge_metadata = staticmethod(metadata.merge_metadata)
